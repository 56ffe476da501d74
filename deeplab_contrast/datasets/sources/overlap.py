"""Images that two sets share, but must not."""

from deeplab_contrast.common import IMAGE
from deeplab_contrast.datasets.sources import examples, id_list
from deeplab_contrast.utils import errors


def refuse(
  unlabelled: examples.Examples,
  other: examples.Examples,
  name: str,
  which: str = 'unlabelled',
) -> None:
  """Refuses unlabelled images that are also in another set.

  Images are the same if both name and bytes are; so two datasets may use the
  same numbers for different images.

  Args:
    unlabelled: the unlabelled images.
    other: the other set.
    name: what the other set is called.
    which: what to call these images.

  Raises:
    DataError: they share images; lists up to 20.
  """
  places = {identity: i for i, identity in enumerate(other.ids())}
  shared = [
    identity
    for i, identity in enumerate(unlabelled.ids())
    if identity in places
    and unlabelled[i][IMAGE] == other[places[identity]][IMAGE]
  ]
  if shared:
    raise errors.DataError(
      f'{len(shared)} of the {which} images are {name} images too: '
      f'{id_list.some(shared)}; take only images that are used neither for '
      'training nor for evaluation.'
    )
