"""Trading strides for atrous rates, as all backbones of the original do it."""

from collections.abc import Iterable, Sequence


def plan(strides: Iterable[int], target: int) -> list[tuple[int, int]]:
  """The strides and atrous rates of a stack of units.

  Units keep their stride until `target` is reached; from there on they have
  stride 1, and each stride given up multiplies the atrous rate of later units
  (stack_blocks_dense of the original's resnet_utils.py and xception.py,
  mobilenet_base of mobilenet.py).

  Args:
    strides: ints, one for each unit, in order.
    target: the stride of the whole stack.

  Returns:
    A list of (stride, rate), one for each unit.

  Raises:
    ValueError: when the strides do not lead to `target`.
  """
  current, rate, result = 1, 1, []
  for stride in strides:
    if current == target:
      result.append((1, rate))
      rate *= stride
    else:
      result.append((stride, 1))
      current *= stride
  if current != target:
    raise ValueError(f'strides {list(strides)} cannot give {target}.')
  return result


def check_output_stride(output_stride: int) -> None:
  """Refuses strides that the original is not used with.

  Raises:
    ValueError: on anything but 8, 16 and 32.
  """
  if output_stride not in (8, 16, 32):
    raise ValueError(f'output_stride is {output_stride}; use 8, 16 or 32.')


def check_multi_grid(
  multi_grid: Sequence[int] | None, length: int, variant: str
) -> tuple[int, ...]:
  """The rates as a tuple; all 1 for None.

  Raises:
    ValueError: when there are not `length` of them.
  """
  multi_grid = tuple(multi_grid or (1,) * length)
  if len(multi_grid) != length:
    raise ValueError(
      f'multi_grid {multi_grid} has {len(multi_grid)} rates; the last block '
      f'of {variant} needs {length}.'
    )
  return multi_grid


def scale_channels(channels: int, width: float) -> int:
  """Channels times width, rounded to a multiple of 8; exact for width 1.

  Raises:
    ValueError: when width is not greater than 0.
  """
  if width <= 0:
    raise ValueError(f'width is {width}; it must be greater than 0.')
  if width == 1.0:
    return channels
  return max(8, int(channels * width / 8 + 0.5) * 8)
