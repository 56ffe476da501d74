"""Images that two sets share, though they must not."""

from deeplab_contrast.common import IMAGE
from deeplab_contrast.datasets.sources import id_list
from deeplab_contrast.utils import errors


def refuse(unlabelled, other, name):
  """Refuses images to label that are also in another set.

  Two images are one when both name and bytes are the same; so two datasets
  may number their images alike.

  Args:
    unlabelled: opened `Examples`.
    other: likewise.
    name: what the other set is called.

  Raises:
    DataError: they share images; names up to 20.
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
      f'{len(shared)} of the images to label are {name} images too: '
      f'{id_list.some(shared)}; label only images that are neither trained on '
      'nor judged by.'
    )
