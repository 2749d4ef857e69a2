package sandbox

import (
	"strconv"
	"strings"

	"golang.org/x/text/currency"
	"golang.org/x/text/language"
)

// payWords is the pay page in one language.
type payWords struct {
	Lang, Title, Mark, Pay, Decline, Back, Note string

	outcomes map[string]string
}

func (w payWords) outcome(word string) string { return w.outcomes[word] }

var english = payWords{
	Lang: "en", Title: "Pay", Mark: "Sandbox: no money moves", Pay: "Pay", Decline: "Decline", Back: "Back to the shop", Note: "Payment",
	outcomes: map[string]string{
		"paid":     "Paid. The shop is told of it.",
		"declined": "Declined. Nothing was paid.",
		"closed":   "This payment was called off.",
		"expired":  "The time to pay is over.",
		"failed":   "The payment could not be taken. Please try again.",
		"invalid":  "This is no valid payment address.",
	},
}

var chinese = payWords{
	Lang: "zh-CN", Title: "付款", Mark: "沙箱：不会真正扣款", Pay: "付款", Decline: "拒绝", Back: "返回店铺", Note: "支付单号",
	outcomes: map[string]string{
		"paid":     "付款成功，店铺会收到通知。",
		"declined": "已拒绝，没有付款。",
		"closed":   "此付款已取消。",
		"expired":  "付款时间已过。",
		"failed":   "暂时无法付款，请重试。",
		"invalid":  "付款链接无效。",
	},
}

var payLanguages = language.NewMatcher([]language.Tag{language.English, language.SimplifiedChinese})

// wordsFor chooses by an Accept-Language header.
func wordsFor(accept string) payWords {
	if _, i := language.MatchStrings(payLanguages, accept); i == 1 {
		return chinese
	}
	return english
}

// formatMoney writes an amount of minor units: "CNY 19.90", "JPY 1990".
func formatMoney(amount int64, code string) string {
	places := 2
	if unit, err := currency.ParseISO(code); err == nil {
		places, _ = currency.Standard.Rounding(unit)
	}
	digits := strconv.FormatInt(amount, 10)
	if places == 0 {
		return code + " " + digits
	}
	digits = strings.Repeat("0", max(0, places+1-len(digits))) + digits
	at := len(digits) - places
	return code + " " + digits[:at] + "." + digits[at:]
}
