package output_test

import (
	"strings"
	"testing"
	"time"

	"cortex/cmd/output"
	"cortex/projections/answers"
)

func TestAnswersDoNotMoveTheCursor(t *testing.T) {
	hostile := "ok\x1b[2J\u202e\r\nnext\tline"
	var b strings.Builder
	a := answers.CachedAnswer{ID: "x", Question: hostile, Answer: hostile, Model: hostile, Task: hostile, Cost: 1_234_567}
	output.Answers(&b, []answers.CachedAnswer{a}, time.UTC)
	output.Answer(&b, a, time.UTC)
	if strings.ContainsAny(b.String(), "\x1b\r\u202e") {
		t.Errorf("%q", b.String())
	}
	if !strings.Contains(b.String(), "$1.234567") || !strings.Contains(b.String(), "\nnext\tline") {
		t.Errorf("%q", b.String())
	}
}
