package main

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"
)

// csv writes the statement as RFC 4180: a header, then a row for each figure, then one for each balance
// with its difference as the amount. The order is always the same. Amounts are whole numbers: minor
// units of a currency, or beans, or a count, as the column currency says.
func (s *statement) csv() ([]byte, error) {
	final := int64(0)
	if s.Final {
		final = 1
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	rows := [][]string{{"scope", "shop", "host", "name", "currency", "amount"}}
	line := func(o owner, name, unit string, amount int64) {
		// Numbers are ours, so only what others may have chosen is kept from being a formula.
		rows = append(rows, []string{o.Scope, cell(o.ShopID), cell(o.HostID), name, cell(unit), strconv.FormatInt(amount, 10)})
	}
	line(owner{Scope: scopeRoom, ShopID: s.ShopID, HostID: s.HostID}, "as_of_ms", "", s.AsOfMs)
	line(owner{Scope: scopeRoom, ShopID: s.ShopID, HostID: s.HostID}, "final", "", final)
	for _, f := range s.Figures {
		line(f.owner, f.Name, f.Unit, f.Amount)
	}
	for _, b := range s.Balances {
		line(b.owner, "balance."+b.Name, b.Unit, b.Difference)
	}
	if err := w.WriteAll(rows); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// formulaStarts are what spreadsheets take for the beginning of a formula.
const formulaStarts = "=+-@\t\r\n＝＋－＠"

// cell keeps a text from being read as a formula, with an apostrophe before it.
func cell(text string) string {
	first := strings.TrimLeft(text, " ")
	if first != "" && strings.ContainsRune(formulaStarts, []rune(first)[0]) {
		return "'" + text
	}
	return text
}
