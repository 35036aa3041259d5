package ports

import (
	"net"
	"os"
	"strings"
	"testing"
)

func TestListenersFindsOwnSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all, err := Listeners("/")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range all {
		if found.Address.String() == l.Addr().String() {
			if found.PID != os.Getpid() || found.Program != self || found.Protocol != "tcp" {
				t.Errorf("%+v", found)
			}
			return
		}
	}
	t.Errorf("%s is not among %d listeners", l.Addr(), len(all))
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:0050":                         "127.0.0.1:80",
		"00000000000000000000000001000000:1F90": "[::1]:8080",
		"0000000000000000FFFF00000100007F:0016": "127.0.0.1:22",
		"00000000:0000":                         "0.0.0.0:0",
	} {
		if got, err := parseAddrPort(text); err != nil || got.String() != want {
			t.Errorf("%s is %s, %v", text, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1\n")
	f.Fuzz(func(t *testing.T, table string) {
		found, _ := parseSocketTable(strings.NewReader(table), "tcp")
		for _, l := range found {
			if !l.Address.IsValid() {
				t.Errorf("%+v", l)
			}
		}
	})
}
