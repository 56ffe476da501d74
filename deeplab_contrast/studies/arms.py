"""The arms of a study, in the order of its tables and legends."""

# The paper's four: with and without contrastive pretraining, with and without
# pseudo-labels for the unlabelled images. Then cross entropy together with
# contrast, and with a teacher for the unlabelled images.
ARMS = (
  'softmax',
  'contrastive',
  'softmax_pseudo',
  'contrastive_pseudo',
  'joint',
  'consistency',
  'contrastive_consistency',
)
PAPER = ARMS[:4]

# Arms that lay an overlay on the training of another one: a contrastive loss
# beside cross entropy, or a teacher for the remaining images.
OVERLAID = {
  'joint': ('softmax', 'joint'),
  'consistency': ('softmax', 'consistency'),
  'contrastive_consistency': ('contrastive', 'consistency'),
}
