package fault

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// A source with mutants in it has each one's copy of a function beside the function itself.
func TestInstrument(t *testing.T) {
	const source = "package p\n\nfunc (t *T) f(a, b int, rest ...string) (n int, err error) {\n\treturn a + b, nil\n}\n\nfunc g() {\n\tprintln(1)\n}\n"
	plus, one := edit{old: "a + b", new: "a - b"}, edit{old: "println(1)", new: "println(2)"}
	text, pkg, err := instrument(source, map[string][]edit{"minus": {plus}, "both": {plus, one}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "", text, 0); err != nil || pkg != "p" {
		t.Fatalf("package %s, %v:\n%s", pkg, err, text)
	}
	for _, want := range []string{
		"{\n\tswitch theMutant {\n\tcase \"both\":\n\t\treturn t.f_both(a, b, rest...)\n\tcase \"minus\":\n\t\treturn t.f_minus(a, b, rest...)\n\t}\n\n\treturn a + b, nil\n}",
		"func (t *T) f_minus(a, b int, rest ...string) (n int, err error) {\n\treturn a - b, nil\n}",
		"\tcase \"both\":\n\t\tg_both()\n\t\treturn\n\t}\n\n\tprintln(1)\n}",
		"func g_both() {\n\tprintln(2)\n}",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no\n%s\nin\n%s", want, text)
		}
	}
	for name, e := range map[string]edit{
		"no function":   {old: "package p", new: "package q"},
		"not there":     {old: "a * b"},
		"more than one": {old: "func"},
	} {
		if _, _, err := instrument(source, map[string][]edit{"m": {e}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, _, err := instrument("package p\n\nfunc f(int) {\n\tprintln(1)\n}\n", map[string][]edit{"m": {one}}); err == nil {
		t.Error("a parameter without a name: no error")
	}
}
