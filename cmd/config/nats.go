package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"cortex/events"
)

// NATS has the settings of an external cluster that stores the log, and the address at
// which NATS clients read facts.
type NATS struct {
	URL      string // servers of the cluster, separated by commas; "" for the daemon's own server
	CA       string // file of the certificate authorities; "" for the system's
	Cert     string // file of the daemon's certificate
	Key      string // file of the certificate's key
	Creds    string // file of a user's JWT and seed, or of a seed
	Replicas int    // replicas of each stream; 0 depends on the size of the cluster
	Listen   string // loopback HOST:PORT for NATS clients; "" for none
}

// natsSettings returns the settings of NATS.
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
		file("nats.ca_file", "certificate authorities of the cluster, in PEM; default the system's", func(n *NATS) *string { return &n.CA }),
		file("nats.cert_file", "the daemon's certificate for the cluster, in PEM", func(n *NATS) *string { return &n.Cert }),
		file("nats.creds_file", "the daemon's credentials for the cluster: a JWT and seed, or a seed; mode 0600", func(n *NATS) *string { return &n.Creds }),
		file("nats.key_file", "the key of nats.cert_file", func(n *NATS) *string { return &n.Key }),
		{
			Name: "nats.listen", Description: "loopback address at which NATS clients read facts, such as 127.0.0.1:4222; default none",
			set: func(s *Settings, v string) error { s.NATS.Listen = v; return checkLoopback(v) },
			get: func(s Settings) string { return s.NATS.Listen },
		},
		{
			Name: "nats.replicas", Description: "replicas of the log in the cluster, from 1 to 5; 0 for 3 in a cluster of that size", IsNumber: true,
			set: func(s *Settings, v string) (err error) {
				if s.NATS.Replicas, err = strconv.Atoi(v); err != nil || s.NATS.Replicas < 0 || s.NATS.Replicas > 5 {
					return errors.New("a number from 0 to 5")
				}
				return nil
			},
			get: func(s Settings) string { return strconv.Itoa(s.NATS.Replicas) },
		},
		{
			Name: "nats.url", Description: "servers of a NATS cluster that stores the log, separated by commas; default the daemon's own server",
			set: func(s *Settings, v string) error { s.NATS.URL = v; return checkServers(v) },
			get: func(s Settings) string { return s.NATS.URL },
		},
	}
}

// checkCombination reports settings that exclude or require each other.
func (n NATS) checkCombination() error {
	fail := func(name, what string) error {
		return &events.Error{Op: "config.Load", Kind: events.ErrUsage, Subject: name, Err: errors.New(what)}
	}
	switch {
	case n.URL != "" && n.Listen != "":
		return fail("nats.listen", "must not be set together with nats.url: clients connect to the cluster")
	case n.URL != "" && (n.Cert == "") != (n.Key == ""):
		return fail("nats.cert_file", "must be set together with nats.key_file")
	}
	return nil
}

// checkServers checks a list of addresses. [looksSecret] refuses a password in one.
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

// checkLoopback checks that an address is a loopback address.
func checkLoopback(v string) error {
	if v == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(v)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if a, e := netip.ParseAddr(host); err != nil || e != nil || !a.IsLoopback() {
		return errors.New("a loopback address, such as 127.0.0.1:4222 (clients on other machines need a cluster, nats.url)")
	}
	return nil
}
