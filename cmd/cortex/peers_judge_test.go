//go:build peers

package main_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// installed reports whether a state vector has the package installed, in any
// architecture and from dpkg or rpm.
func installed(vector map[string]string, name string) bool {
	for k, v := range vector {
		if strings.HasPrefix(k, "package "+name+":") && strings.HasPrefix(v[strings.Index(v, " ")+1:], "ok installed ") {
			return true
		}
	}
	return false
}

// judge describes the result of an undo for the table. The vectors are from before the
// change, after it, and after its undo; code is the exit code of the undo.
func judge(before, done, after map[string]string, code int) string {
	exit := ""
	if code != 0 {
		exit = fmt.Sprintf(" (exit %d)", code)
	}
	lost := differences(before, done, after)
	switch {
	case len(lost) == 0 && maps.Equal(before, done) && code != 0:
		return "**full**: nothing to undo, and it reports so"
	case len(lost) == 0:
		return "**full**" + exit
	case maps.Equal(done, after) && code != 0:
		return "refused" + exit
	case maps.Equal(done, after):
		return "nothing, and exit 0"
	}
	verdict := "partly" + exit
	for k := range union(before, after) {
		if strings.HasPrefix(k, "package ") && before[k] == done[k] && after[k] != before[k] {
			verdict = "**wrong**" + exit // the undo changed a package that the change had not
		}
	}
	const shown = 3
	if n := len(lost) - shown; n > 1 {
		lost = append(lost[:shown], fmt.Sprintf("%d more", n))
	}
	return verdict + ": " + strings.Join(lost, "; ")
}

func union(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// differences returns every difference between before and after: packages first, then
// files, debconf answers, alternatives, other paths, and dpkg's lists of conffiles.
func differences(before, done, after map[string]string) []string {
	var out []string
	packages := map[string]bool{}
	for _, prefix := range []string{"package ", "file ", "debconf ", "alternative ", "/", "registry "} {
		for _, k := range slices.Sorted(maps.Keys(union(before, after))) {
			name, ok := strings.CutPrefix(k, prefix)
			if !ok || before[k] == after[k] {
				continue
			}
			was, had := before[k]
			is, has := after[k]
			short, _, _ := strings.Cut(name, ":")
			switch prefix {
			case "package ":
				packages[name] = true
				out = append(out, packageWords(short, was, is)...)
			case "file ":
				if choice := "alternative " + path.Base(name); path.Dir(name) == "/etc/alternatives" && before[choice] != after[choice] {
					continue // listed as the alternative
				}
				if _, did := done[k]; !had && !did {
					out = append(out, "`"+name+"` exists again")
					continue
				}
				out = append(out, fileWords(name, was, is)...)
			case "registry ":
				if !packages[name] {
					out = append(out, "dpkg's registry of "+short+"'s conffiles")
				}
			case "debconf ":
				out = append(out, "answer `"+name+"` "+presence(had, has, "differs"))
			case "alternative ":
				out = append(out, "choice of `"+name+"` "+presence(had, has, "lost"))
			default:
				out = append(out, "`"+k+"`")
			}
		}
	}
	return out
}

func presence(had, has bool, differs string) string {
	switch {
	case !has:
		return "gone"
	case !had:
		return "left"
	}
	return differs
}

// packageWords returns the differences of a package's "WANT FLAG STATUS VERSION MARK".
func packageWords(name, was, is string) []string {
	w, i := strings.Fields(was), strings.Fields(is)
	switch {
	case is == "":
		return []string{name + " gone"}
	case i[2] == "config-files" && was == "":
		return []string{name + " left as config-files"}
	case was == "":
		return []string{name + " left " + i[2]}
	}
	var out []string
	if w[2] != i[2] {
		out = append(out, name+" "+i[2])
	}
	if w[3] != i[3] {
		out = append(out, fmt.Sprintf("%s %s instead of %s", name, i[3], w[3]))
	}
	if w[0] != i[0] && w[2] == i[2] {
		if w[0] == "hold" {
			out = append(out, "hold of "+name+" lost")
		} else {
			out = append(out, fmt.Sprintf("%s wanted %s", name, i[0]))
		}
	}
	if w[4] != i[4] && w[2] == i[2] {
		out = append(out, fmt.Sprintf("%s %s instead of %s", name, i[4], w[4]))
	}
	return out
}

func fileWords(path, was, is string) []string {
	switch {
	case strings.HasPrefix(was+is, "d") && (was == "" || is == ""):
		return nil // the files in the directory are listed
	case is == "":
		return []string{"`" + path + "` gone"}
	case was == "":
		return []string{"`" + path + "` left"}
	}
	return []string{"`" + path + "` differs"}
}

func TestJudge(t *testing.T) {
	const app, conf = "package app:amd64", "file /etc/app.conf"
	one := map[string]string{app: "install ok installed 1.0 manual", conf: "-rw 0:0 mine"}
	two := map[string]string{app: "install ok installed 2.0 manual", conf: "-rw 0:0 theirs"}
	for want, tc := range map[string]struct {
		before, done, after map[string]string
		code                int
	}{
		"**full**":                {one, two, one, 0},
		"**full** (exit 7)":       {one, two, one, 7},
		"nothing, and exit 0":     {one, two, two, 0},
		"refused (exit 1)":        {one, two, two, 1},
		"**wrong**: app gone":     {one, one, map[string]string{conf: one[conf]}, 0},
		"partly: app 2.0 instead": {one, two, map[string]string{app: two[app], conf: one[conf]}, 0},
		"**full**: nothing to undo, and it reports so": {one, one, one, 1},
		"partly: `/etc/app.conf` differs":              {one, two, map[string]string{app: one[app], conf: two[conf]}, 0},
		"partly: `/etc/app.conf` left":                 {map[string]string{}, two, map[string]string{conf: two[conf]}, 0},
		"partly: `/etc/app.conf` exists again":         {map[string]string{app: one[app]}, map[string]string{}, one, 0},
		"partly: app auto instead of manual":           {one, map[string]string{conf: one[conf]}, map[string]string{app: "install ok installed 1.0 auto", conf: one[conf]}, 0},
		"partly: hold of app lost":                     {map[string]string{app: "hold ok installed 1.0 manual"}, map[string]string{}, map[string]string{app: one[app]}, 0},
	} {
		if got := judge(tc.before, tc.done, tc.after, tc.code); !strings.HasPrefix(got, want) || want == "**full**" && got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
