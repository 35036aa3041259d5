package main

import "testing"

func TestManualPageHasNoBuildMonth(t *testing.T) {
	got := string(stripDate([]byte(".nh\n.TH \"CORTEX-UNDO\" \"8\" \"Nov 2026\" \"cortex\" \"Cortex\"\n\n.SH NAME\n")))
	if want := ".nh\n.TH \"CORTEX-UNDO\" \"8\" \"\" \"cortex\" \"Cortex\"\n\n.SH NAME\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
