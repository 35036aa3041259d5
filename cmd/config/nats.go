package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"cortex/events"
)

// NATS is where the log is kept, when servers of others keep it, and where others may
// listen to the facts.
type NATS struct {
	URL      string // servers that keep the log, by commas; "" is one in our process
	CA       string // file of who may vouch for them; "" is the system's authorities
	Cert     string // file of our certificate
	Key      string // file of its key
	Creds    string // file of a user's JWT and seed, or of a seed
	Replicas int    // how many servers keep each stream; 0 leaves it to how many there are
	Listen   string // HOST:PORT of the loopback where clients listen to facts; "" nowhere
}

// natsSettings lists the settings of NATS.
func natsSettings() []SettingSpec {
	file := func(name, about string, of func(*NATS) *string) SettingSpec {
		return SettingSpec{
			Name: name, Description: about,
			set: func(s *Settings, v string) error {
				if *of(&s.NATS) = v; v == "" {
					return nil
				}
				*of(&s.NATS) = filepath.Clean(v)
				return checkAbsolute(v)
			},
			get: func(s Settings) string { return *of(&s.NATS) },
		}
	}
	return []SettingSpec{
		file("nats.ca_file", "who may vouch for those servers, in PEM; default the system's authorities", func(n *NATS) *string { return &n.CA }),
		file("nats.cert_file", "the daemon's certificate for those servers, in PEM", func(n *NATS) *string { return &n.Cert }),
		file("nats.creds_file", "the daemon's credentials for those servers: a JWT and seed, or a seed; mode 0600", func(n *NATS) *string { return &n.Creds }),
		file("nats.key_file", "the key of nats.cert_file", func(n *NATS) *string { return &n.Key }),
		{
			Name: "nats.listen", Description: "where NATS clients on this machine may listen to facts, such as 127.0.0.1:4222; default nowhere",
			set: func(s *Settings, v string) error { s.NATS.Listen = v; return checkLoopback(v) },
			get: func(s Settings) string { return s.NATS.Listen },
		},
		{
			Name: "nats.replicas", Description: "how many of those servers keep the log, from 1 to 5; 0 is 3 where there are so many", IsNumber: true,
			set: func(s *Settings, v string) (err error) {
				if s.NATS.Replicas, err = strconv.Atoi(v); err != nil || s.NATS.Replicas < 0 || s.NATS.Replicas > 5 {
					return errors.New("a number from 0 to 5")
				}
				return nil
			},
			get: func(s Settings) string { return strconv.Itoa(s.NATS.Replicas) },
		},
		{
			Name: "nats.url", Description: "NATS servers that keep the log, by commas; default one in the daemon itself",
			set: func(s *Settings, v string) error { s.NATS.URL = v; return checkServers(v) },
			get: func(s Settings) string { return s.NATS.URL },
		},
	}
}

// checkCombination reports settings that exclude or need each other.
func (n NATS) checkCombination() error {
	fail := func(name, what string) error {
		return &events.Error{Op: "config.Load", Kind: events.ErrUsage, Subject: name, Err: errors.New(what)}
	}
	switch {
	case n.URL != "" && n.Listen != "":
		return fail("nats.listen", "must not be set together with nats.url: clients connect to those servers")
	case n.URL != "" && (n.Cert == "") != (n.Key == ""):
		return fail("nats.cert_file", "must be set together with nats.key_file")
	}
	return nil
}

// checkServers checks a list of addresses. A password in one is refused elsewhere, as a secret.
func checkServers(v string) error {
	if v == "" {
		return nil
	}
	for one := range strings.SplitSeq(v, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" {
			return errors.New("a list of addresses such as tls://HOST:4222")
		}
	}
	return nil
}

// checkLoopback checks an address that only this machine reaches.
func checkLoopback(v string) error {
	if v == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(v)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if a, e := netip.ParseAddr(host); err != nil || e != nil || !a.IsLoopback() {
		return fmt.Errorf("an address of this machine alone, such as 127.0.0.1:4222 (others listen at servers of nats.url)")
	}
	return nil
}
