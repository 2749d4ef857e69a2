package proto

//go:generate sh generate.sh
