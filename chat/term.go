package chat

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"livecart/proto"
)

// Limits of a room's blocked terms. They travel in every welcome, hence the last one.
const (
	MaxTerms      = 100
	MaxTerm       = 40   // code points each
	MaxTermsBytes = 2048 // all together
)

// fold brings texts that readers take for the same to one form: NFKC, without case, without joiners.
func fold(text string) string {
	text = strings.Map(func(r rune) rune {
		if isJoiner(r) {
			return -1
		}
		return r
	}, text)
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(text)))
}

// cleanTerms cleans a list of blocked terms as comments are, drops those that fold to the same as
// an earlier one and checks the limits.
func cleanTerms(terms []string) ([]string, error) {
	if len(terms) > MaxTerms {
		return nil, invalid("at most %d blocked terms", MaxTerms)
	}
	clean := make([]string, 0, len(terms)) // not nil, which would be NULL in the table
	var seen []string
	size := 0
	for _, term := range terms {
		text, err := Clean(term)
		if err != nil || utf8.RuneCountInString(text) > MaxTerm {
			return nil, invalid("a blocked term holds 1 to %d code points", MaxTerm)
		}
		if size += len(text); size > MaxTermsBytes {
			return nil, invalid("blocked terms hold at most %d bytes together", MaxTermsBytes)
		}
		if folded := fold(text); !slices.Contains(seen, folded) {
			clean, seen = append(clean, text), append(seen, folded)
		}
	}
	return clean, nil
}

// foldTerms returns the terms as they are looked for.
func foldTerms(settings *proto.ChatSettings) []string {
	folded := make([]string, 0, len(settings.BlockedTerms))
	for _, term := range settings.BlockedTerms {
		folded = append(folded, fold(term))
	}
	return folded
}

// holdsAny reports whether the text holds one of the folded terms.
func holdsAny(text string, folded []string) bool {
	if len(folded) == 0 {
		return false
	}
	text = fold(text)
	return slices.ContainsFunc(folded, func(term string) bool { return strings.Contains(text, term) })
}
