package hardware

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"cortex/events"
)

// device is one PCI or USB device.
type device struct {
	bus, addr       string // pci 0000:00:02.0, usb 1-1.4
	vendor, product string // four hexadecimal digits
	class           string // PCI: six hexadecimal digits; USB: two
	driver          string // "" when no driver is bound
	alias           string // its modalias; the kernel selects drivers by it
	dir             string
}

// id returns VENDOR:PRODUCT.
func (d device) id() string { return d.vendor + ":" + d.product }

// key returns the prefix of the keys of its facts.
func (d device) key() string { return d.bus + "." + d.addr + "." }

const pciDir = "sys/bus/pci/devices"

func (r *factBuilder) pci() []device {
	const source = "/sys/bus/pci/devices"
	var out []device
	for _, addr := range r.list(pciDir) {
		d, ok := r.pciDevice(addr)
		if !ok {
			r.addUnknown("pci."+addr+".id", source+"/"+addr, errors.New("cannot read its modalias, or its vendor, device and class"))
			continue
		}
		out = append(out, d)
		r.addCertain(d.key()+"id", events.TextValue(d.id()), source+"/"+addr)
		r.addCertain(d.key()+"class", events.TextValue(d.class), source+"/"+addr)
		if d.driver != "" {
			r.addCertain(d.key()+"driver", events.TextValue(d.driver), source+"/"+addr+"/driver")
		}
	}
	if !r.exists(pciDir) {
		r.addUnknown("pci.devices", source, errors.New("the kernel lists no PCI bus"))
	} else {
		r.addCertain("pci.devices", events.NumberValue(int64(len(out))), source)
	}
	return out
}

func (r *factBuilder) pciDevice(addr string) (device, bool) {
	dir := pciDir + "/" + addr
	d := device{bus: "pci", addr: addr, dir: dir, driver: r.linkBase(dir + "/driver")}
	alias, err := r.text(dir + "/modalias")
	if err == nil {
		d.alias = alias
		if vendor, product, class, ok := parsePCIAlias(alias); ok {
			d.vendor, d.product, d.class = vendor, product, class
			return d, true
		}
	}
	hex := func(name string, digits int) string {
		n, err := r.number(dir + "/" + name)
		if err != nil || n < 0 || n >= 1<<(4*digits) {
			return ""
		}
		s := strconv.FormatInt(n, 16)
		return strings.Repeat("0", digits-len(s)) + s
	}
	d.vendor, d.product, d.class = hex("vendor", 4), hex("device", 4), hex("class", 6)
	return d, d.vendor != "" && d.product != "" && d.class != ""
}

// parsePCIAlias parses a modalias such as pci:v00008086d00000D57sv…sd…bc06sc00i00.
func parsePCIAlias(alias string) (vendor, product, class string, ok bool) {
	s, ok := strings.CutPrefix(alias, "pci:v")
	if !ok || len(s) != 48 || s[8] != 'd' || s[17:19] != "sv" || s[27:29] != "sd" || s[37:39] != "bc" || s[41:43] != "sc" || s[45] != 'i' {
		return "", "", "", false
	}
	for _, part := range []string{s[:8], s[9:17], s[39:41], s[43:45], s[46:48]} {
		if strings.Trim(part, "0123456789ABCDEFabcdef") != "" {
			return "", "", "", false
		}
	}
	return strings.ToLower(s[4:8]), strings.ToLower(s[13:17]), strings.ToLower(s[39:41] + s[43:45] + s[46:48]), true
}

const usbDir = "sys/bus/usb/devices"

// usb returns the USB devices, without hubs and root hubs.
func (r *factBuilder) usb() []device {
	const source = "/sys/bus/usb/devices"
	byAddr := map[string]*device{}
	for _, name := range r.list(usbDir) {
		addr, _, isInterface := strings.Cut(name, ":")
		dir := usbDir + "/" + name
		if isInterface {
			d := byAddr[addr] // the list is sorted, so interfaces follow their device
			if d == nil {
				continue
			}
			if d.driver == "" {
				d.driver = r.linkBase(dir + "/driver")
			}
			if d.alias == "" {
				d.alias, _ = r.text(dir + "/modalias")
			}
			if class, err := r.text(dir + "/bInterfaceClass"); err == nil && d.class == "00" {
				d.class = class
			}
			continue
		}
		vendor, err := r.text(dir + "/idVendor")
		product, err2 := r.text(dir + "/idProduct")
		class, err3 := r.text(dir + "/bDeviceClass")
		if errors.Join(err, err2, err3) != nil || class == "09" || strings.HasPrefix(name, "usb") {
			continue
		}
		byAddr[addr] = &device{bus: "usb", addr: addr, vendor: vendor, product: product, class: class, dir: dir}
		vendorName, _ := r.text(dir + "/manufacturer")
		name, _ := r.text(dir + "/product")
		if name = strings.TrimSpace(vendorName + " " + name); name != "" {
			r.addCertain("usb."+addr+".name", events.TextValue(name), source+"/"+addr+"/product")
		}
	}
	var out []device
	for _, d := range byAddr {
		out = append(out, *d)
		r.addCertain(d.key()+"id", events.TextValue(d.id()), source+"/"+d.addr)
		r.addCertain(d.key()+"class", events.TextValue(d.class), source+"/"+d.addr)
		if d.driver != "" {
			r.addCertain(d.key()+"driver", events.TextValue(d.driver), source+"/"+d.addr+":*/driver")
		}
	}
	slices.SortFunc(out, func(a, b device) int { return cmp.Compare(a.addr, b.addr) })
	return out
}

// Modalias is the text by which the kernel selects a driver for a device.
type Modalias struct {
	Alias string
	Path  string // of the file that has it, with a leading slash
}

// Modaliases returns the modaliases of the devices on all buses, by path, and of the machine
// itself. Each loaded kernel module has an entry "lkmodule:NAME".
func (c *Collector) Modaliases() []Modalias {
	t := fileTree{c.cfg.FS}
	var out []Modalias
	for _, bus := range t.list("sys/bus") {
		for _, name := range t.list("sys/bus/" + bus + "/devices") {
			p := "sys/bus/" + bus + "/devices/" + name + "/modalias"
			if alias, err := t.text(p); err == nil && alias != "" {
				out = append(out, Modalias{alias, "/" + p})
			}
		}
	}
	if alias, err := t.text("sys/class/dmi/id/modalias"); err == nil && alias != "" {
		out = append(out, Modalias{alias, "/sys/class/dmi/id/modalias"})
	}
	if text, err := t.read("proc/modules"); err == nil {
		for line := range strings.Lines(text) {
			if name, _, ok := strings.Cut(line, " "); ok {
				out = append(out, Modalias{"lkmodule:" + sanitize(name), "/proc/modules"})
			}
		}
	}
	return out
}
