package hardware

import (
	"errors"

	"cortex/events"
)

// network describes the interfaces that have a device; bridges, tunnels and pairs
// are software.
func (r *report) network() {
	const dir = "sys/class/net"
	if !r.has(dir) {
		r.unknown("net.count", "/"+dir, errors.New("there is no such directory"))
		return
	}
	count := int64(0)
	for _, name := range r.list(dir) {
		at, key := dir+"/"+name, "net."+name+"."
		if !r.has(at + "/device") {
			continue
		}
		count++
		kind := "ethernet"
		switch {
		case r.has(at + "/wireless"), r.has(at + "/phy80211"):
			kind = "wifi"
		case r.text1(at+"/type") == "32":
			kind = "infiniband"
		}
		r.derived(key+"kind", events.TextValue(kind), "/"+at)
		if d := r.base(at + "/device/driver"); d != "" {
			r.certain(key+"driver", events.TextValue(d), "/"+at+"/device/driver")
		} else {
			r.unknown(key+"driver", "/"+at+"/device/driver", errors.New("no driver is named"))
		}
		if s, err := r.text(at + "/operstate"); err == nil {
			r.passing(key+"state", events.TextValue(s), "/"+at+"/operstate")
		}
		if n, err := r.number(at + "/speed"); err == nil && n > 0 { // -1 and errors: no link, or not told
			r.passing(key+"speed_mbps", events.NumberValue(n), "/"+at+"/speed")
		}
	}
	r.certain("net.count", events.NumberValue(count), "/"+dir)
}

// text1 is a file's text, "" when it cannot be read.
func (r *report) text1(name string) string {
	s, _ := r.text(name)
	return s
}
