package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// MaxComment is the most code points of a comment, after cleaning.
	MaxComment = 500
	// maxRaw bounds, in bytes, what is cleaned at all: a client's largest frame.
	maxRaw = 16 << 10
	// maxMarks is how many combining marks may follow one another. Living scripts stay below; piles
	// of them paint over the lines above.
	maxMarks = 8
)

// Clean returns the text of a comment as it is kept and shown, or ErrEmpty or ErrTooLong. It is in
// NFC; without control characters, bidirectional marks and overrides, and invisible characters, of
// which only a single joiner between two others stays (emoji and Persian need it); with white space
// of any kind and length, line breaks included, as one space; trimmed; with at most eight combining
// marks in a row. Cleaning twice changes nothing more.
func Clean(text string) (string, error) {
	if len(text) > maxRaw {
		return "", ErrTooLong
	}
	// Removing a character can bring two others together that NFC composes, which in turn can
	// shorten or lengthen a run of marks. From the second round on the text only gets shorter.
	text = norm.NFC.String(strings.ToValidUTF8(text, ""))
	for {
		next := norm.NFC.String(strip(text))
		if next == text {
			break
		}
		text = next
	}
	if strings.IndexFunc(text, visible) < 0 {
		return "", ErrEmpty
	}
	if utf8.RuneCountInString(text) > MaxComment {
		return "", ErrTooLong
	}
	return text, nil
}

func strip(text string) string {
	var out strings.Builder
	out.Grow(len(text))
	var (
		gap    bool // white space stands between what was written and what comes
		joiner rune // a joiner that is written once something follows it
		marks  int  // combining marks written in a row
		last   rune // written last
	)
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			gap, joiner, marks = true, 0, 0
			continue
		case isJoiner(r):
			if !gap && joiner == 0 && out.Len() > 0 {
				joiner = r
			}
			continue
		case isTag(r):
			if last != blackFlag && !isTag(last) || gap || joiner != 0 {
				continue
			}
		case hidden(r):
			continue
		case unicode.Is(unicode.M, r):
			if marks == maxMarks {
				continue
			}
			marks++
		default:
			marks = 0
		}
		if gap && out.Len() > 0 {
			out.WriteByte(' ')
		} else if joiner != 0 {
			out.WriteRune(joiner)
		}
		gap, joiner, last = false, 0, r
		out.WriteRune(r)
	}
	return out.String()
}

// isJoiner tells the zero-width joiner and non-joiner.
func isJoiner(r rune) bool { return r == '\u200c' || r == '\u200d' }

// blackFlag begins the flags of regions such as Scotland, which tag characters spell.
const blackFlag = '\U0001F3F4'

func isTag(r rune) bool { return r >= 0xE0020 && r <= 0xE007F }

// hidden tells characters that show nothing themselves or reorder others: control and format
// characters (Unicode's Cc and Cf, bidirectional controls among them), surrogates, noncharacters.
func hidden(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Noncharacter_Code_Point)
}

// blanks are letters and symbols that look like nothing.
const blanks = "\u115f\u1160\u2800\u3164\uffa0"

// visible tells characters that are enough for a comment on their own.
func visible(r rune) bool {
	return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.Is(unicode.M, r) && !strings.ContainsRune(blanks, r)
}
