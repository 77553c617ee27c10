#!/bin/sh
# Builds three.min.js (the tree-shaken part of three.js that the report uses) and copies its licence.
# Needs node and npm; run it only to change the version or the list in three_entry.mjs.
set -eu
THREE=0.187.0
ESBUILD=0.28.2
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$here/three_entry.mjs" "$scratch/"
cd "$scratch"
npm install --no-save --no-audit --no-fund --ignore-scripts "three@$THREE" "esbuild@$ESBUILD"
node_modules/.bin/esbuild three_entry.mjs --bundle --minify --format=iife --target=es2020 --legal-comments=none \
  --banner:js="/*! three.js $THREE, MIT licence, see three.LICENSE.txt */" --outfile=three.min.js
cp three.min.js "$here/three.min.js"
cp node_modules/three/LICENSE "$here/three.LICENSE.txt"
