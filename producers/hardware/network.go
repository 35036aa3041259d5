package hardware

import (
	"errors"

	"cortex/events"
)

// network adds the interfaces that belong to a device. Bridges, tunnels and other virtual
// interfaces are left out.
func (r *factBuilder) network() {
	const dir = "sys/class/net"
	if !r.exists(dir) {
		r.addUnknown("net.count", "/"+dir, errors.New("no such directory"))
		return
	}
	count := int64(0)
	for _, name := range r.list(dir) {
		at, key := dir+"/"+name, "net."+name+"."
		if !r.exists(at + "/device") {
			continue
		}
		count++
		kind := "ethernet"
		switch {
		case r.exists(at + "/wireless"), r.exists(at + "/phy80211"):
			kind = "wifi"
		case r.textOrEmpty(at+"/type") == "32":
			kind = "infiniband"
		}
		r.addDerived(key+"kind", events.TextValue(kind), "/"+at)
		if d := r.linkBase(at + "/device/driver"); d != "" {
			r.addCertain(key+"driver", events.TextValue(d), "/"+at+"/device/driver")
		} else {
			r.addUnknown(key+"driver", "/"+at+"/device/driver", errors.New("no driver is bound"))
		}
		if s, err := r.text(at + "/operstate"); err == nil {
			r.addVolatile(key+"state", events.TextValue(s), "/"+at+"/operstate")
		}
		if n, err := r.number(at + "/speed"); err == nil && n > 0 { // without a link it is -1, or reading it fails
			r.addVolatile(key+"speed_mbps", events.NumberValue(n), "/"+at+"/speed")
		}
	}
	r.addCertain("net.count", events.NumberValue(count), "/"+dir)
}

// textOrEmpty returns the text of a file, or "" when it cannot be read.
func (r *factBuilder) textOrEmpty(name string) string {
	s, _ := r.text(name)
	return s
}
