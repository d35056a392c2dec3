#!/usr/bin/env bash
# GNU parallel and curl as in their manuals: a job log to resume from, --retry for what may pass, --delay for a quota.
set -uo pipefail
export manifest=$1 api=$2 output=$3
cap=${4#--cap=} per_minute=${5#--per-minute=}

predict() {
    local key=$1 image=$2 prompt=$3 body answer
    local call=(curl --silent --show-error --fail --retry 5 --header "Authorization: Bearer made-up")
    body=$(jq --null-input --arg image "$image" --arg prompt "$prompt" \
        '{version: "15a3689ee13b0d2616e98820eca31d4c3abcd36672df6afce5cb6feb1d66087d", input: {$image, $prompt}}')
    answer=$("${call[@]}" --header "Prefer: wait" --json "$body" "$api/predictions") || return
    while [[ $(jq --raw-output .status <<<"$answer") =~ starting|processing ]]; do
        sleep 1
        answer=$("${call[@]}" "$(jq --raw-output .urls.get <<<"$answer")") || return
    done
    "${call[@]}" --output "$output/$key.png" "$(jq --raw-output '.output[0]' <<<"$answer")"
}
export -f predict

delay=0
[ "$per_minute" -gt 0 ] && delay=$(jq --null-input "60 / $per_minute")
parallel --will-cite --colsep , --header : --jobs "$cap" --delay "$delay" --joblog joblog --resume-failed \
    predict '{key}' '{image}' '{prompt}' :::: "$manifest"
# The seventh column is the exit value, the tenth the key.
awk 'NR > 1 { ends[$10] = $7 } END { for (key in ends) if (ends[key]) print "failed", key, ends[key] }' joblog
