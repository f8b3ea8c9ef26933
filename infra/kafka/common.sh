# Shared by `up` and `down`: reads the options and knows what runs. Sourced, not run.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
port=9092
dir="$here/.run"
purge=no
jars_only=no
properties=
EX_USAGE=64 EX_UNAVAILABLE=69

fail() { echo "infra/kafka: $2" >&2; exit "$1"; }

usage="usage: up|down [--port N] [--ephemeral DIR] [--jars (up only)] [--properties FILE (up only)] [--purge (down only)]"
while [ $# -gt 0 ]; do
  case "$1" in
    --port) port=${2:?$usage}; shift 2 ;;
    --ephemeral) dir=${2:?$usage}; shift 2 ;;
    --jars) jars_only=yes; shift ;;
    --properties) properties=${2:?$usage}; jars_only=yes; shift 2 ;;
    --purge) purge=yes; shift ;;
    *) fail $EX_USAGE "$usage" ;;
  esac
done
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
export MNEME_KAFKA_PORT=$port MNEME_KAFKA_CONTROLLER_PORT=$((port + 1))

has_docker() { docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }

compose() { docker compose --project-name "mneme-kafka-$port" --file "$here/compose.yaml" "$@"; }

# The pid of this folder's broker, when it runs. A pid that the system gave to something else is not it.
running_pid() {
  local pid args
  pid=$(cat "$dir/broker.pid" 2>/dev/null) || return 1
  args=$(ps -ww -p "$pid" -o args= 2>/dev/null) || return 1
  if [[ $args != *"$dir/server.properties"* ]]; then return 1; fi
  echo "$pid"
}

# Sends Kafka's ApiVersions request and waits for the first bytes of an answer.
answers() {
  local got
  got=$(
    exec 2>/dev/null
    exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 0
    printf '\0\0\0\012\0\022\0\0\0\0\0\001\377\377' >&3
    timeout 2 head -c 4 <&3 | wc -c
  )
  [ "${got:-0}" -eq 4 ]
}
