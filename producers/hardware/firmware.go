package hardware

import (
	"errors"
	"strconv"
	"strings"

	"cortex/events"
)

// efiVariables is the vendor under which Secure Boot's own variables lie.
const efiVariables = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

// chassis names those types of the SMBIOS specification (7.4.1) that matter.
var chassis = map[int64]string{
	1: "other", 3: "desktop", 4: "desktop", 6: "tower", 7: "tower", 8: "laptop", 9: "laptop", 10: "laptop", 11: "handheld",
	13: "all-in-one", 14: "laptop", 17: "server", 23: "server", 28: "blade", 30: "tablet", 31: "laptop", 32: "laptop", 35: "mini", 36: "stick",
}

func (r *report) firmware() {
	r.dmi()
	const efi = "sys/firmware/efi"
	switch {
	case r.has(efi):
		r.certain("firmware.kind", events.TextValue("efi"), "/"+efi)
		r.secureBoot()
	case r.has("sys/firmware/devicetree/base"):
		r.certain("firmware.kind", events.TextValue("devicetree"), "/sys/firmware/devicetree")
		r.derived("firmware.secure_boot", events.BoolValue(false), "only EFI firmware has it")
	case r.has("sys/firmware"):
		kind := "bios"
		if !r.has("sys/firmware/dmi") && !r.has("sys/class/dmi/id") {
			kind = "none" // a virtual machine that starts its kernel directly
		}
		r.derived("firmware.kind", events.TextValue(kind), "/sys/firmware")
		r.derived("firmware.secure_boot", events.BoolValue(false), "only EFI firmware has it")
	default:
		err := errors.New("there is no /sys/firmware")
		r.unknown("firmware.kind", "/sys/firmware", err)
		r.unknown("firmware.secure_boot", "/sys/firmware", err)
	}
	r.tpm()
}

// dmi takes makers and models, no serial numbers.
func (r *report) dmi() {
	const dir = "sys/class/dmi/id"
	for _, name := range []string{"sys_vendor", "product_name", "product_version", "board_vendor", "board_name", "bios_vendor", "bios_version", "bios_date"} {
		s, err := r.text(dir + "/" + name)
		switch {
		case err != nil:
			r.unknown("dmi."+name, "/"+dir+"/"+name, err)
		case s == "" || s == "To Be Filled By O.E.M." || s == "Default string" || s == "System Product Name":
			r.unknown("dmi."+name, "/"+dir+"/"+name, errors.New("the maker left it empty"))
		default:
			r.certain("dmi."+name, events.TextValue(s), "/"+dir+"/"+name)
		}
	}
	n, err := r.number(dir + "/chassis_type")
	if err != nil {
		r.unknown("dmi.chassis", "/"+dir+"/chassis_type", err)
		return
	}
	if name := chassis[n]; name != "" {
		r.certain("dmi.chassis", events.TextValue(name), "/"+dir+"/chassis_type")
	} else {
		r.certain("dmi.chassis", events.TextValue("type "+strconv.FormatInt(n, 10)), "/"+dir+"/chassis_type")
	}
}

// secureBoot reads two EFI variables: four bytes of attributes, then the value.
func (r *report) secureBoot() {
	for _, v := range []struct{ key, name string }{{"firmware.secure_boot", "SecureBoot"}, {"firmware.setup_mode", "SetupMode"}} {
		p := "sys/firmware/efi/efivars/" + v.name + "-" + efiVariables
		s, err := r.read(p)
		switch {
		case errIsMissing(err) && r.list("sys/firmware/efi/efivars") != nil:
			r.derived(v.key, events.BoolValue(false), "/"+p) // the firmware does not know it
		case err != nil:
			r.unknown(v.key, "/"+p, err)
		case len(s) != 5:
			r.unknown(v.key, "/"+p, errors.New("the variable has "+strconv.Itoa(len(s))+" bytes, not 5"))
		default:
			r.certain(v.key, events.BoolValue(s[4] == 1), "/"+p)
		}
	}
}

func (r *report) tpm() {
	const dir = "sys/class/tpm"
	if names := r.list(dir); len(names) > 0 {
		source := dir + "/" + names[0] + "/tpm_version_major"
		if n, err := r.number(source); err == nil {
			r.certain("tpm.version", events.NumberValue(n), "/"+source)
		} else {
			r.unknown("tpm.version", "/"+source, err)
		}
		r.certain("tpm.present", events.BoolValue(true), "/"+dir)
		return
	}
	if r.has("sys/class") {
		r.derived("tpm.present", events.BoolValue(false), "/"+dir)
		return
	}
	r.unknown("tpm.present", "/"+dir, errors.New("there is no /sys/class"))
}

// power tells about batteries and mains.
func (r *report) power() {
	const dir = "sys/class/power_supply"
	if !r.has(dir) {
		r.unknown("power.batteries", "/"+dir, errors.New("the kernel shows no power supplies"))
		return
	}
	batteries := int64(0)
	for _, name := range r.list(dir) {
		at := dir + "/" + name
		kind, _ := r.text(at + "/type")
		if scope, _ := r.text(at + "/scope"); kind == "Battery" && scope != "Device" { // a mouse's battery is the mouse's
			batteries++
			r.battery("battery."+name+".", at)
		}
		if n, err := r.number(at + "/online"); err == nil && kind == "Mains" {
			r.passing("power.mains", events.BoolValue(n == 1), "/"+at+"/online")
		}
	}
	r.certain("power.batteries", events.NumberValue(batteries), "/"+dir)
}

func (r *report) battery(key, at string) {
	if s, err := r.text(at + "/technology"); err == nil {
		r.certain(key+"technology", events.TextValue(s), "/"+at+"/technology")
	}
	if n, err := r.number(at + "/capacity"); err == nil && n >= 0 && n <= 100 {
		r.passing(key+"charge_pct", events.NumberValue(n), "/"+at+"/capacity")
	} else {
		r.unknown(key+"charge_pct", "/"+at+"/capacity", err)
	}
	if s, err := r.text(at + "/status"); err == nil {
		r.passing(key+"status", events.TextValue(strings.ToLower(s)), "/"+at+"/status")
	}
	for _, unit := range []string{"energy", "charge"} {
		full, err := r.number(at + "/" + unit + "_full")
		design, err2 := r.number(at + "/" + unit + "_full_design")
		if errors.Join(err, err2) == nil && design > 0 && full >= 0 && full < 1<<40 {
			r.add(events.HardwareFact{Key: key + "health_pct", Value: events.NumberValue(full * 100 / design), Source: "/" + at + "/" + unit + "_full", Confidence: events.Derived, Volatile: true})
			return
		}
	}
}
