# Sourced by the other scripts here: makes .venv and installs the package with the
# tested versions, unless that is already done. $1: extras, e.g. "[test]".
# PYTHON names the interpreter (3.10 to 3.13); python3 by default.
extras="${1:-}"
stamp=".venv/.installed"
sum="$(cat setup.cfg pyproject.toml constraints.txt | cksum)"
want="$sum $extras"
if [ ! -x .venv/bin/python ]; then
  "${PYTHON:-python3}" -m venv .venv
fi
case "$(cat "$stamp" 2>/dev/null)" in
  "$want" | "$sum [test,weights]") ;;
  *)
    echo "Installing into .venv (about a minute, 3 GB) ..."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
      --constraint constraints.txt --editable ".$extras"
    echo "$want" > "$stamp"
    ;;
esac
