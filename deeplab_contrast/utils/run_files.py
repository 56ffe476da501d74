"""The names of all files in the folder of a run, of a study, and of labels.

Paths are relative to that folder.
"""

import os

# Of every run, from its start.
CONFIG = 'config.gin'
REPLICAS = 'replicas.json'  # The number of replicas the run trains on.
DATA = 'data.json'  # Fingerprints of the data.
ORIGIN = 'origin.json'  # The source of pretrained weights.
METRICS = 'metrics.jsonl'
TENSORBOARD = 'tensorboard'
CHECKPOINTS = 'checkpoints'
BEST = os.path.join(CHECKPOINTS, 'best')
BEST_SCORE = os.path.join(BEST, 'best.json')
DONE = 'DONE'  # Holds the number of steps of a complete run.

# Of evaluations, in a folder with its own METRICS and TENSORBOARD.
EVAL = 'eval'
RESULTS = os.path.join(EVAL, 'results.json')
EVALUATED = os.path.join(EVAL, 'judged.json')  # The steps that are done.
CONFUSION_CSV = os.path.join(EVAL, 'confusion_matrix.csv')
CONFUSION_PNG = os.path.join(EVAL, 'confusion_matrix.png')
EMBEDDING_RESULTS = os.path.join('embedding', 'results.json')

# Of `vis`, `features`, `browse`, `submit` and `report`.
VIS = 'vis'
PANELS = os.path.join(VIS, 'panels.png')
FEATURES = os.path.join('features', 'penultimate.npz')
BROWSE = 'browse'
CROPS = os.path.join(BROWSE, 'crops.png')
SUBMIT = 'submit'
REPORT = 'report'

# Of pseudo-labels.
LABELS = 'labels'
CONFIDENCE = 'confidence'
SHARDS = 'shards'  # Locks and journals of the processes that share the work.
STARTED = 'started.json'
MANIFEST = 'manifest.json'

# Of a recipe or study, over the folders of its runs.
STUDY = 'study.json'
STUDY_TABLE = 'results.csv'
STUDY_RESULTS = 'results.json'
STUDY_TIMES = 'times.jsonl'
STEP_COSTS = 'step_costs.json'  # What steps cost on the machine it began on.
COMPARISON = 'comparison.png'
