package chat

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestClean(t *testing.T) {
	for _, test := range []struct {
		name, in, want string
		err            error
	}{
		{"plain", "hello", "hello", nil},
		{"trimmed", " \t hello \n", "hello", nil},
		{"composed", "cafe\u0301", "caf\u00e9", nil},
		{"composed over a removed character", "e\u200b\u0301", "\u00e9", nil},
		{"control characters", "a\x00b\x1b[31mc\x7f", "ab[31mc", nil},
		{"line breaks are one space", "a\r\n\r\nb\u2028c", "a b c", nil},
		{"wide and no-break spaces", "a\u3000\u00a0b", "a b", nil},
		{"bidirectional overrides", "a\u202eb\u202c\u2066c\u2069\u200f", "abc", nil},
		{"zero width", "\ufeffb\u200ba\u2060d\u00ad", "bad", nil},
		{"joined emoji", "\U0001F469\u200d\U0001F469", "\U0001F469\u200d\U0001F469", nil},
		{"one of many joiners", "a\u200d\u200c\u200db", "a\u200db", nil},
		{"joiners at the ends", "\u200dab\u200d", "ab", nil},
		{"joiner beside a space", "a\u200d b \u200dc", "a b c", nil},
		{"flag of Scotland", "\U0001F3F4\U000E0067\U000E0062\U000E007F", "\U0001F3F4\U000E0067\U000E0062\U000E007F", nil},
		{"tags without a flag", "a\U000E0067\U000E0062", "a", nil},
		{"noncharacters", "a\ufffeb\U0001fffff", "abf", nil},
		{"broken UTF-8", "a\xffb", "ab", nil},
		{"eight marks", "x" + strings.Repeat("\u0321", 8), "x" + strings.Repeat("\u0321", 8), nil},
		{"nine marks", "x" + strings.Repeat("\u0321", 9), "x" + strings.Repeat("\u0321", 8), nil},
		{"empty", "", "", ErrEmpty},
		{"only spaces", " \n\u3000", "", ErrEmpty},
		{"only invisible", "\u200b\u202e\u200d\ufeff", "", ErrEmpty},
		{"only letters that look blank", "\u3164 \u2800", "", ErrEmpty},
		{"only marks", "\u0301", "", ErrEmpty},
		{"500 code points", strings.Repeat("价", 500), strings.Repeat("价", 500), nil},
		{"501 code points", strings.Repeat("价", 501), "", ErrTooLong},
		{"500 once cleaned", " " + strings.Repeat("e\u0301", 500) + "\u200b", strings.Repeat("\u00e9", 500), nil},
		{"as large as a frame", strings.Repeat("\u200b", maxRaw/3) + "a", "a", nil},
		{"larger than a frame", strings.Repeat(" ", maxRaw) + "a", "", ErrTooLong},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Clean(test.in)
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("Clean(%+q) = %+q, %v, want %+q, %v", test.in, got, err, test.want, test.err)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{
		"hello", " a \u202e\u0301b\u200d\u200d c\n", "\U0001F3F4\U000E0067", "\u0344\u0958\u1100\u1161\u11a8",
		strings.Repeat("e\u0301", 500), "x" + strings.Repeat("\u0321\u0301", 20), "a\xff\u0345\u200c\u0327",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		text, err := Clean(in)
		if err != nil {
			if !errors.Is(err, ErrEmpty) && !errors.Is(err, ErrTooLong) || text != "" {
				t.Fatalf("Clean(%+q) = %+q, %v", in, text, err)
			}
			return
		}
		if n := utf8.RuneCountInString(text); n < 1 || n > MaxComment {
			t.Fatalf("%d code points", n)
		}
		if !utf8.ValidString(text) || !norm.NFC.IsNormalString(text) || strings.TrimSpace(text) != text {
			t.Fatalf("Clean(%+q) = %+q: not valid, normal and trimmed", in, text)
		}
		marks := 0
		for _, r := range text {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && !isJoiner(r) && !isTag(r) || unicode.IsSpace(r) && r != ' ' {
				t.Fatalf("Clean(%+q) = %+q holds %U", in, text, r)
			}
			if marks++; !unicode.Is(unicode.M, r) {
				marks = 0
			}
			if marks > maxMarks {
				t.Fatalf("Clean(%+q) = %+q piles up marks", in, text)
			}
		}
		again, err := Clean(text)
		if err != nil || again != text {
			t.Fatalf("cleaned %+q, twice %+q, %v", text, again, err)
		}
	})
}
