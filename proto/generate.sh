#!/bin/sh
# Generates the Go code of every .proto file here with Debian's protoc and the protoc-gen-go that go.mod pins.
set -eu
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
PATH="$bin:$PATH" protoc --proto_path=. --go_out=. --go_opt=paths=source_relative ./*.proto
