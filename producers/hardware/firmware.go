package hardware

import (
	"errors"
	"strconv"
	"strings"

	"cortex/events"
)

// efiVariables is the vendor number of the EFI variables of Secure Boot.
const efiVariables = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

// chassisTypes names the common chassis types of the SMBIOS specification (7.4.1).
var chassisTypes = map[int64]string{
	1: "other", 3: "desktop", 4: "desktop", 6: "tower", 7: "tower", 8: "laptop", 9: "laptop", 10: "laptop", 11: "handheld",
	13: "all-in-one", 14: "laptop", 17: "server", 23: "server", 28: "blade", 30: "tablet", 31: "laptop", 32: "laptop", 35: "mini", 36: "stick",
}

func (r *factBuilder) firmware() {
	r.dmi()
	const efi = "sys/firmware/efi"
	switch {
	case r.exists(efi):
		r.addCertain("firmware.kind", events.TextValue("efi"), "/"+efi)
		r.secureBoot()
	case r.exists("sys/firmware/devicetree/base"):
		r.addCertain("firmware.kind", events.TextValue("devicetree"), "/sys/firmware/devicetree")
		r.addDerived("firmware.secure_boot", events.BoolValue(false), "only EFI firmware has Secure Boot")
	case r.exists("sys/firmware"):
		kind := "bios"
		if !r.exists("sys/firmware/dmi") && !r.exists("sys/class/dmi/id") {
			kind = "none" // a virtual machine that starts its kernel directly
		}
		r.addDerived("firmware.kind", events.TextValue(kind), "/sys/firmware")
		r.addDerived("firmware.secure_boot", events.BoolValue(false), "only EFI firmware has Secure Boot")
	default:
		err := errors.New("/sys/firmware does not exist")
		r.addUnknown("firmware.kind", "/sys/firmware", err)
		r.addUnknown("firmware.secure_boot", "/sys/firmware", err)
	}
	r.tpm()
}

// dmi adds vendors and models. It reads no serial numbers.
func (r *factBuilder) dmi() {
	const dir = "sys/class/dmi/id"
	for _, name := range []string{"sys_vendor", "product_name", "product_version", "board_vendor", "board_name", "bios_vendor", "bios_version", "bios_date"} {
		s, err := r.text(dir + "/" + name)
		switch {
		case err != nil:
			r.addUnknown("dmi."+name, "/"+dir+"/"+name, err)
		case s == "" || s == "To Be Filled By O.E.M." || s == "Default string" || s == "System Product Name":
			r.addUnknown("dmi."+name, "/"+dir+"/"+name, errors.New("the vendor did not set it"))
		default:
			r.addCertain("dmi."+name, events.TextValue(s), "/"+dir+"/"+name)
		}
	}
	n, err := r.number(dir + "/chassis_type")
	if err != nil {
		r.addUnknown("dmi.chassis", "/"+dir+"/chassis_type", err)
		return
	}
	if name := chassisTypes[n]; name != "" {
		r.addCertain("dmi.chassis", events.TextValue(name), "/"+dir+"/chassis_type")
	} else {
		r.addCertain("dmi.chassis", events.TextValue("type "+strconv.FormatInt(n, 10)), "/"+dir+"/chassis_type")
	}
}

// secureBoot reads two EFI variables. Each has four bytes of attributes and one byte with the
// value.
func (r *factBuilder) secureBoot() {
	for _, v := range []struct{ key, name string }{{"firmware.secure_boot", "SecureBoot"}, {"firmware.setup_mode", "SetupMode"}} {
		p := "sys/firmware/efi/efivars/" + v.name + "-" + efiVariables
		s, err := r.read(p)
		switch {
		case isNotExist(err) && r.list("sys/firmware/efi/efivars") != nil:
			r.addDerived(v.key, events.BoolValue(false), "/"+p) // the firmware does not have the variable
		case err != nil:
			r.addUnknown(v.key, "/"+p, err)
		case len(s) != 5:
			r.addUnknown(v.key, "/"+p, errors.New("the variable has "+strconv.Itoa(len(s))+" bytes instead of 5"))
		default:
			r.addCertain(v.key, events.BoolValue(s[4] == 1), "/"+p)
		}
	}
}

func (r *factBuilder) tpm() {
	const dir = "sys/class/tpm"
	if names := r.list(dir); len(names) > 0 {
		source := dir + "/" + names[0] + "/tpm_version_major"
		if n, err := r.number(source); err == nil {
			r.addCertain("tpm.version", events.NumberValue(n), "/"+source)
		} else {
			r.addUnknown("tpm.version", "/"+source, err)
		}
		r.addCertain("tpm.present", events.BoolValue(true), "/"+dir)
		return
	}
	if r.exists("sys/class") {
		r.addDerived("tpm.present", events.BoolValue(false), "/"+dir)
		return
	}
	r.addUnknown("tpm.present", "/"+dir, errors.New("/sys/class does not exist"))
}

// power adds batteries and mains power.
func (r *factBuilder) power() {
	const dir = "sys/class/power_supply"
	if !r.exists(dir) {
		r.addUnknown("power.batteries", "/"+dir, errors.New("the kernel lists no power supplies"))
		return
	}
	batteries := int64(0)
	for _, name := range r.list(dir) {
		at := dir + "/" + name
		kind, _ := r.text(at + "/type")
		if scope, _ := r.text(at + "/scope"); kind == "Battery" && scope != "Device" { // "Device": the battery of a peripheral, such as a mouse
			batteries++
			r.battery("battery."+name+".", at)
		}
		if n, err := r.number(at + "/online"); err == nil && kind == "Mains" {
			r.addVolatile("power.mains", events.BoolValue(n == 1), "/"+at+"/online")
		}
	}
	r.addCertain("power.batteries", events.NumberValue(batteries), "/"+dir)
}

func (r *factBuilder) battery(key, at string) {
	if s, err := r.text(at + "/technology"); err == nil {
		r.addCertain(key+"technology", events.TextValue(s), "/"+at+"/technology")
	}
	if n, err := r.number(at + "/capacity"); err == nil && n >= 0 && n <= 100 {
		r.addVolatile(key+"charge_pct", events.NumberValue(n), "/"+at+"/capacity")
	} else {
		r.addUnknown(key+"charge_pct", "/"+at+"/capacity", err)
	}
	if s, err := r.text(at + "/status"); err == nil {
		r.addVolatile(key+"status", events.TextValue(strings.ToLower(s)), "/"+at+"/status")
	}
	for _, unit := range []string{"energy", "charge"} {
		full, err := r.number(at + "/" + unit + "_full")
		design, err2 := r.number(at + "/" + unit + "_full_design")
		if errors.Join(err, err2) == nil && design > 0 && full >= 0 && full < 1<<40 {
			r.add(events.HardwareFact{Key: key + "health_pct", Value: events.NumberValue(full * 100 / design), Source: "/" + at + "/" + unit + "_full", Confidence: events.ConfidenceDerived, Volatile: true})
			return
		}
	}
}
