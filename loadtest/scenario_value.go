package loadtest

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// scalar returns a plain value.
func scalar(n *yaml.Node, what string) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		return "", at(n, "here belongs %s", what)
	}
	return n.Value, nil
}

// text reads a string.
func text(to *string) reader {
	return func(n *yaml.Node) error {
		value, err := scalar(n, "a text")
		*to = strings.TrimSpace(value)
		return err
	}
}

// list reads a sequence of what one reads.
func list[T any](to *[]T, one func(*T) reader) reader {
	return func(n *yaml.Node) error {
		if n.Kind != yaml.SequenceNode {
			return at(n, "here belongs a list")
		}
		*to = make([]T, len(n.Content))
		for i, item := range n.Content {
			if err := one(&(*to)[i])(item); err != nil {
				return err
			}
		}
		return nil
	}
}

// whole reads a whole number.
func whole(to *int, least, most int) reader {
	return func(n *yaml.Node) error {
		value, err := scalar(n, "a whole number")
		if err != nil {
			return err
		}
		if *to, err = strconv.Atoi(value); err != nil || *to < least || *to > most {
			return at(n, "%q is no whole number from %d to %d", value, least, most)
		}
		return nil
	}
}

// number reads a number.
func number(to *float64, least, most float64) reader {
	return func(n *yaml.Node) error {
		value, err := scalar(n, "a number")
		if err != nil {
			return err
		}
		if *to, err = strconv.ParseFloat(value, 64); err != nil || !(*to >= least && *to <= most) {
			return at(n, "%q is no number from %g to %g", value, least, most)
		}
		return nil
	}
}

// share reads a part of a whole, such as 70%.
func share(to *float64) reader {
	return func(n *yaml.Node) error {
		value, err := scalar(n, "a part such as 70%")
		if err != nil {
			return err
		}
		digits, ok := strings.CutSuffix(value, "%")
		percent, err := strconv.ParseFloat(digits, 64)
		if !ok || err != nil || !(percent >= 0 && percent <= 100) {
			return at(n, "%q is no part from 0%% to 100%%", value)
		}
		*to = percent / 100
		return nil
	}
}

// duration reads a time, such as 90s or 1h30m.
func duration(to *time.Duration, least, most time.Duration) reader {
	return func(n *yaml.Node) error {
		value, err := scalar(n, "a time such as 90s")
		if err != nil {
			return err
		}
		if *to, err = time.ParseDuration(value); err != nil || *to < least || *to > most {
			return at(n, "%q is no time from %v to %v", value, least, most)
		}
		return nil
	}
}
