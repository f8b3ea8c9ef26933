# Shared by `up` and `down`: reads the options and knows what runs. Sourced, not run.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
port=19530
dir="$here/.run"
purge=no
EX_USAGE=64 EX_UNAVAILABLE=69

fail() { echo "infra/milvus: $2" >&2; exit "$1"; }

usage="usage: up|down [--port N] [--ephemeral DIR] [--purge (down only)]"
while [ $# -gt 0 ]; do
  case "$1" in
    --port) port=${2:?$usage}; shift 2 ;;
    --ephemeral) dir=${2:?$usage}; shift 2 ;;
    --purge) purge=yes; shift ;;
    *) fail $EX_USAGE "$usage" ;;
  esac
done
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# The pid of this folder's server, when it runs. A pid that the system gave to something else is not it.
running_pid() {
  local pid args
  pid=$(cat "$dir/server.pid" 2>/dev/null) || return 1
  args=$(ps -ww -p "$pid" -o stat=,args= 2>/dev/null) || return 1
  if [[ $args == Z* || $args != *milvus*run*"$port" ]]; then return 1; fi
  echo "$pid"
}
