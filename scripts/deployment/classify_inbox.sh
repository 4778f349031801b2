#!/bin/sh
# classify_inbox.sh FOLDER: classify the images in FOLDER/inbox with the current version. A JSON line for each
# goes to the end of FOLDER/results.jsonl, then the images are moved to FOLDER/classified. Names that
# begin with a dot or end in .part are still being written and are left alone.
set -u
cd "$1" || exit 2
mkdir -p inbox classified
set --
for file in inbox/*; do
    case $file in *.part) continue ;; esac
    [ -f "$file" ] && set -- "$@" "$file"
done
[ $# -gt 0 ] || exit 0
current/edge_classify --bundle current/classifier.egb --json -- "$@" >inbox.new
# 2: some file cannot be read, and its line says why; the same code without a line for each is worse
if [ $? -gt 2 ] || [ "$(wc -l <inbox.new)" -ne $# ]; then
    echo "edge_classify failed; the images stay in $PWD/inbox" >&2
    rm -f inbox.new
    exit 1
fi
cat inbox.new >>results.jsonl && rm inbox.new && mv "$@" classified/
