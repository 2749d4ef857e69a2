package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"livecart/proto"
)

func TestHoldsAny(t *testing.T) {
	for _, test := range []struct {
		name, term, text string
		want             bool
	}{
		{"same", "spam", "spam", true},
		{"inside", "spam", "xxspamxx", true},
		{"case", "SPAM", "no Spam here", true},
		{"case of other scripts", "ΣΊΣΥΦΟΣ", "σίσυφος", true},
		{"sharp s", "STRASSE", "straße", true},
		{"full width", "spam", "ｓｐａｍ", true},
		{"ligature", "office", "oﬃce", true},
		{"circled", "vx123", "vx①②③", true},
		{"joiners inside", "spam", "sp\u200dam", true},
		{"Chinese", "加微信", "请加微信领取", true},
		{"another word", "spam", "span", false},
		{"spread", "spam", "s p a m", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			terms := foldTerms(&proto.ChatSettings{BlockedTerms: []string{test.term}})
			if got := holdsAny(test.text, terms); got != test.want {
				t.Errorf("%q in %q: %v, want %v", test.term, test.text, got, test.want)
			}
		})
	}
}

func TestCleanTerms(t *testing.T) {
	many := make([]string, MaxTerms+1)
	for i := range many {
		many[i] = fmt.Sprint("term", i)
	}
	bytes := make([]string, 0, 60)
	for i := range 51 {
		bytes = append(bytes, fmt.Sprintf("%040d", i)) // 2,040 bytes
	}
	for _, test := range []struct {
		name    string
		in      []string
		want    []string
		refused bool
	}{
		{"none", nil, nil, false},
		{"same ones once", []string{" Spam", "ｓｐａｍ", "eggs"}, []string{"Spam", "eggs"}, false},
		{"100", many[:MaxTerms], many[:MaxTerms], false},
		{"101", many, nil, true},
		{"40 code points", []string{strings.Repeat("微", 40)}, []string{strings.Repeat("微", 40)}, false},
		{"41 code points", []string{strings.Repeat("微", 41)}, nil, true},
		{"empty", []string{"\u200b"}, nil, true},
		{"2,048 bytes", append(slices.Clone(bytes), "12345678"), append(slices.Clone(bytes), "12345678"), false},
		{"2,049 bytes", append(slices.Clone(bytes), "123456789"), nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := cleanTerms(test.in)
			if !slices.Equal(got, test.want) || (err != nil) != test.refused {
				t.Errorf("got %q, %v", got, err)
			}
			if test.refused && !errors.Is(err, proto.Refuse(proto.ReasonInvalidArgument, "")) {
				t.Errorf("refused with %v", err)
			}
		})
	}
}
