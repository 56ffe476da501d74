"""Moving averages of weights, kept by a Keras optimizer with `use_ema=True`."""

import contextlib
from collections.abc import Iterator

import keras


def of(
  optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> dict[str, keras.Variable]:
  """{path: average} of a built optimizer; empty if it keeps none.

  Args:
    optimizer: a built Keras optimizer.
    model: the Keras model whose variables it trains.
  """
  if not optimizer.use_ema:
    return {}
  # Keras' only way to the averages, in the order of the variables.
  averages = optimizer._model_variables_moving_average
  return {
    variable.path: average
    for variable, average in zip(
      model.trainable_variables, averages, strict=True
    )
  }


@contextlib.contextmanager
def applied(
  optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> Iterator[None]:
  """Gives the model its averaged weights while inside, if there are any."""
  averages = of(optimizer, model)
  saved = {
    v.path: v.value.numpy() for v in model.variables if v.path in averages
  }
  try:
    for variable in model.variables:
      if variable.path in averages:
        variable.assign(averages[variable.path].value.numpy())
    yield
  finally:
    for variable in model.variables:
      if variable.path in saved:
        variable.assign(saved[variable.path])
