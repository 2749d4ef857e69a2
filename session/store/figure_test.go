package store

import (
	"errors"
	"fmt"
	"math"
	"testing"
)

func TestCompleteFillsInZeros(t *testing.T) {
	figures := []Figure{{Name: "orders", Unit: "orders"}, {Name: "paid"}, {Name: "received"}}
	got := Complete(figures, []Amount{{"received", "b", "USD", 7}, {"orders", "b", "orders", 2}, {"paid", "b", "CNY", 5}}, map[string][]string{"a": {"EUR"}})
	want := "[{orders a orders 0} {orders b orders 2} {paid a EUR 0} {paid b CNY 5} {paid b USD 0} {received a EUR 0} {received b CNY 0} {received b USD 7}]"
	if fmt.Sprint(got) != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTotalKeepsUnitsApart(t *testing.T) {
	got, err := Total([]Amount{{"paid", "a", "CNY", 5}, {"paid", "a", "USD", 1}, {"paid", "b", "CNY", -2}, {"tips", "b", "CNY", 9}})
	if want := "[{paid  CNY 3} {paid  USD 1} {tips  CNY 9}]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWeigh(t *testing.T) {
	balances := []Balance{{Name: "split", Left: []string{"paid"}, Right: []string{"fee", "share"}}}
	got, err := Weigh(balances, []Amount{
		{"paid", "a", "CNY", 10}, {"fee", "a", "CNY", 3}, {"share", "a", "CNY", 7}, {"orders", "a", "orders", 1},
		{"paid", "a", "USD", 10}, {"share", "b", "CNY", 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, w := range got {
		text += fmt.Sprintf("%s %s %s %d %d %d; ", w.Name, w.Owner, w.Unit, w.LeftSum, w.RightSum, w.Difference)
	}
	if want := "split a CNY 10 10 0; split a USD 10 0 10; split b CNY 0 4 -4; "; text != want {
		t.Errorf("%s, want %s", text, want)
	}
}

func TestSumsOfAStatementDoNotWrap(t *testing.T) {
	for name, sum := range map[string]func() error{
		"total": func() error {
			_, err := Total([]Amount{{"paid", "a", "CNY", math.MaxInt64}, {"paid", "b", "CNY", 1}})
			return err
		},
		"side": func() error {
			_, err := Weigh([]Balance{{Left: []string{"x", "y"}}}, []Amount{{"x", "a", "CNY", math.MinInt64}, {"y", "a", "CNY", -1}})
			return err
		},
		"difference": func() error {
			_, err := Weigh([]Balance{{Left: []string{"x"}, Right: []string{"y"}}}, []Amount{{"x", "a", "CNY", math.MaxInt64}, {"y", "a", "CNY", -1}})
			return err
		},
	} {
		if err := sum(); !errors.Is(err, ErrOverflow) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := Total([]Amount{{"paid", "a", "CNY", math.MaxInt64 - 1}, {"paid", "b", "CNY", 1}}); err != nil || got[0].Value != math.MaxInt64 {
		t.Errorf("the most: %v, %v", got, err)
	}
}
