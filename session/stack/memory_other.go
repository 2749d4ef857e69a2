//go:build !linux

package stack

const memoryFolder = ""

func memoryHasRoom() bool { return false }
