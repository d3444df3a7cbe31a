#!/usr/bin/env bash
# Compare a change with its base, and say in the exit code whether it may be merged.
#
#   SUITE         suite to run: a name, or a file of the repository
#   BASE          commit to compare with, in turn, trial by trial (`sparsebench ab`)
#   BASELINE      or a file that `sparsebench baseline set -o` wrote
#   GATES         file of gates; default: those of sparsebench
#   ROUNDS        with BASE: times that each trial runs on both sides; default: 3
#   ARGS          more words for `ab` or `run`, such as: --quick --seeds 0:5
#   OUTPUT        folder for what comes out; default: sparsebench-ci
#   INCONCLUSIVE  `pass` (default) or `fail`: what becomes of exit code 6
#   SPARSEBENCH   the command; default: sparsebench
#
# Leaves comparison.json, comment.md, junit.xml and exit-code in OUTPUT. Exit codes: those of
# `sparsebench compare`; docs/ci.md has the whole story.
set -euo pipefail

output=${OUTPUT:-sparsebench-ci}
read -ra sparsebench <<<"${SPARSEBENCH:-sparsebench}"
readarray -t -d '' args < <(xargs -r printf '%s\0' <<<"${ARGS:-}") # quotes hold words together
gates=()
[[ -n ${GATES:-} ]] && gates=(--gates "$GATES")

complain() {
  echo "error: $1" >&2
  exit 2
}

quietly() { # the page of a GitHub workflow gets the comparison once, and nothing else
  env -u GITHUB_STEP_SUMMARY "${sparsebench[@]}" "$@"
}

[[ -n ${SUITE:-} ]] || complain "SUITE: give a suite to run"
[[ -n ${BASE:-} || -n ${BASELINE:-} ]] || complain "give BASE (a commit) or BASELINE (a file)"
[[ -z ${BASE:-} || -z ${BASELINE:-} ]] || complain "give BASE or BASELINE, not both"
case ${INCONCLUSIVE:-pass} in pass | fail) ;; *) complain "INCONCLUSIVE: pass or fail" ;; esac

mkdir -p "$output"
store=$output/store
code=0
if [[ -n ${BASE:-} ]]; then
  git rev-parse --quiet --verify --end-of-options "$BASE^{commit}" >/dev/null ||
    complain "BASE: no commit $BASE here; fetch it first (actions/checkout: fetch-depth: 0)"
  quietly ab "git:$BASE" git:HEAD "$SUITE" --store "$store" --rounds "${ROUNDS:-3}" \
    "${gates[@]}" "${args[@]}" --json >"$output/comparison.json" || code=$?
  folders=("$store"/ab/*/)
  last=${folders[-1]%/}
  sides=("$last/base" "$last/head")
else
  [[ -f $BASELINE ]] || complain "BASELINE: no file $BASELINE; make one: sparsebench baseline set"
  ran=0
  quietly run "$SUITE" --store "$store" "${args[@]}" >&2 || ran=$?
  [[ $ran -le 1 ]] || exit "$ran" # 1: a trial failed, which the comparison judges
  sides=("$BASELINE" "$store")
  quietly compare "${sides[@]}" "${gates[@]}" --json >"$output/comparison.json" || code=$?
fi

echo "$code" >"$output/exit-code"
case $code in 0 | 3 | 6) ;; *) exit "$code" ;; esac # there is nothing to show

quietly compare "${sides[@]}" "${gates[@]}" --format junit >"$output/junit.xml" || true
{
  echo "<!-- sparsebench -->"
  "${sparsebench[@]}" compare "${sides[@]}" "${gates[@]}" --format md || true
} >"$output/whole.md"
head -c 60000 "$output/whole.md" >"$output/comment.md" # a comment holds 65536 characters
cmp -s "$output/whole.md" "$output/comment.md" || printf '\n\n(cut)\n' >>"$output/comment.md"
cat "$output/comment.md"

if [[ -n ${GITHUB_OUTPUT:-} ]]; then
  {
    echo "exit-code=$code"
    echo "comment=$output/comment.md"
    echo "junit=$output/junit.xml"
    echo "comparison=$output/comparison.json"
  } >>"$GITHUB_OUTPUT"
fi
if [[ $code -eq 6 && ${INCONCLUSIVE:-pass} == pass ]]; then
  echo "inconclusive: nothing could be decided, which is allowed to pass" >&2
  code=0
fi
exit "$code"
