package hardware

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"cortex/events"
)

const (
	blockDir     = "sys/block"
	sectorBytes  = 512 // the unit of sizes in sysfs, independent of the disk's sector size
	maxMounts    = 200
	maxSizeUnits = 1 << 50
)

// disks adds disks and the block devices of device mapper and md.
func (r *factBuilder) disks() {
	if !r.exists(blockDir) {
		r.addUnknown("disk.count", "/"+blockDir, errors.New("no such directory"))
		return
	}
	count := int64(0)
	for _, name := range r.list(blockDir) {
		switch {
		case strings.HasPrefix(name, "loop"), strings.HasPrefix(name, "ram"), strings.HasPrefix(name, "zram"):
			continue
		case strings.HasPrefix(name, "dm-"):
			r.deviceMapper(name)
		case strings.HasPrefix(name, "md"):
			r.diskSize(name)
			r.diskText(name, "level", "md/level")
			r.addDerived("disk."+name+".kind", events.TextValue("raid"), "/"+blockDir+"/"+name)
		default:
			count++
			r.disk(name)
		}
	}
	r.addCertain("disk.count", events.NumberValue(count), "/"+blockDir)
}

func (r *factBuilder) disk(name string) {
	dir, key := blockDir+"/"+name, "disk."+name+"."
	r.diskSize(name)
	r.diskText(name, "model", "device/model")
	to, _ := r.link(dir)
	transport := diskTransport(name, to)
	if transport != "" {
		r.addDerived(key+"transport", events.TextValue(transport), "/"+dir)
	}
	if n, err := r.number(dir + "/removable"); err == nil {
		r.addCertain(key+"removable", events.BoolValue(n == 1), "/"+dir+"/removable")
	}
	model := r.value(key + "model").String()
	n, err := r.number(dir + "/queue/rotational")
	switch {
	case transport == "virtio", transport == "xen", strings.HasPrefix(model, "QEMU"), strings.HasPrefix(model, "VBOX"), strings.HasPrefix(model, "Virtual"), strings.HasPrefix(model, "VMware"):
		// The rotation flag of a virtual disk does not describe the physical disk.
		r.addDerived(key+"kind", events.TextValue("virtual"), "/"+dir)
	case strings.HasPrefix(name, "sr"):
		r.addDerived(key+"kind", events.TextValue("optical"), "/"+dir)
	case err != nil:
		r.addUnknown(key+"kind", "/"+dir+"/queue/rotational", err)
	case n == 0:
		r.addCertain(key+"kind", events.TextValue("ssd"), "/"+dir+"/queue/rotational")
	default:
		r.addCertain(key+"kind", events.TextValue("hdd"), "/"+dir+"/queue/rotational")
	}
}

// diskTransport returns how a disk is attached, derived from its name and its path in sysfs,
// or "" when it is unknown.
func diskTransport(name, link string) string {
	switch {
	case strings.HasPrefix(name, "nvme"):
		return "nvme"
	case strings.HasPrefix(name, "vd"):
		return "virtio"
	case strings.HasPrefix(name, "xvd"):
		return "xen"
	case strings.HasPrefix(name, "mmcblk"):
		return "mmc"
	case strings.Contains(link, "/usb"):
		return "usb"
	case strings.Contains(link, "/ata"):
		return "ata"
	case strings.Contains(link, "/virtio"):
		return "virtio"
	case strings.Contains(link, "/rport-"):
		return "fc"
	case strings.Contains(link, "/host"):
		return "scsi"
	}
	return ""
}

func (r *factBuilder) diskSize(name string) {
	key, source := "disk."+name+".size_b", "/"+blockDir+"/"+name+"/size"
	switch n, err := r.number(blockDir + "/" + name + "/size"); {
	case err != nil:
		r.addUnknown(key, source, err)
	case n == 0 && strings.HasPrefix(name, "sr"), n == 0 && strings.HasPrefix(name, "sd"):
		r.addUnknown(key, source, errors.New("no medium is inserted"))
	case n < 0 || n > maxSizeUnits:
		r.addUnknown(key, source, fmt.Errorf("invalid sector count %d", n))
	default:
		r.addCertain(key, events.NumberValue(n*sectorBytes), source)
	}
}

// diskText adds the text of a file, if the file exists.
func (r *factBuilder) diskText(name, field, file string) {
	p := blockDir + "/" + name + "/" + file
	if s, err := r.text(p); err == nil && s != "" {
		r.addCertain("disk."+name+"."+field, events.TextValue(s), "/"+p)
	}
}

// deviceMapper adds a device of device mapper, such as LVM or LUKS. The prefix of its UUID is
// the kind; the UUID itself is not recorded.
func (r *factBuilder) deviceMapper(name string) {
	key := "disk." + name + "."
	r.diskSize(name)
	r.diskText(name, "name", "dm/name")
	source := "/" + blockDir + "/" + name + "/dm/uuid"
	uuid, err := r.text(blockDir + "/" + name + "/dm/uuid")
	if err != nil {
		r.addUnknown(key+"kind", source, err)
		return
	}
	kind, _, _ := strings.Cut(uuid, "-")
	if kind == "" {
		kind = "mapped"
	}
	r.addCertain(key+"kind", events.TextValue(strings.ToLower(kind)), source)
}

// mount is one line of mountinfo.
type mount struct{ device, root, point, fsType, source, options, superOptions string }

// parseMounts parses /proc/PID/mountinfo. It skips malformed lines.
func parseMounts(text string) []mount {
	var out []mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		b, a := strings.Fields(before), strings.Fields(after)
		if !ok || len(b) < 6 || len(a) < 3 {
			continue
		}
		out = append(out, mount{
			device: b[2], root: unescapeMount(b[3]), point: unescapeMount(b[4]), options: b[5],
			fsType: a[0], source: unescapeMount(a[1]), superOptions: a[2],
		})
	}
	return out
}

// unescapeMount decodes octal escapes such as \040.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// dataFilesystems lists the file systems that store data. Only local ones are queried for
// their size, because statfs on a network file system may block.
var dataFilesystems = map[string]struct{ local bool }{
	"ext2": {true}, "ext3": {true}, "ext4": {true}, "xfs": {true}, "btrfs": {true}, "zfs": {true}, "f2fs": {true},
	"bcachefs": {true}, "jfs": {true}, "reiserfs": {true}, "vfat": {true}, "exfat": {true}, "ntfs": {true}, "ntfs3": {true},
	"overlay": {true}, "hostfs": {true}, "virtiofs": {true},
	"9p": {}, "nfs": {}, "nfs4": {}, "cifs": {}, "smb3": {}, "ceph": {}, "glusterfs": {}, "fuse.sshfs": {},
}

// filesystems adds mounted file systems with their sizes. Each is added once, with its first
// mount point. An overlay is added only as the root.
func (r *factBuilder) filesystems(space func(string) (Space, error)) {
	const source = "/proc/self/mountinfo"
	text, err := r.read("proc/self/mountinfo")
	if err != nil {
		r.addUnknown("fs.mounts", source, err)
		return
	}
	seen, n := map[string]bool{}, 0
	for _, m := range parseMounts(text) {
		class, ok := dataFilesystems[m.fsType]
		if !ok || seen[m.device] || n == maxMounts || m.fsType == "overlay" && m.point != "/" {
			continue
		}
		seen[m.device] = true
		n++
		key := "fs." + sanitize(path.Clean(m.point)) + "."
		r.addCertain(key+"type", events.TextValue(sanitize(m.fsType)), source)
		r.addCertain(key+"device", events.TextValue(sanitize(m.source)), source)
		r.addVolatile(key+"writable", events.BoolValue(!strings.HasPrefix(m.options+",", "ro,")), source)
		r.filesystemSpace(key, m.point, class.local, space)
	}
}

func (r *factBuilder) filesystemSpace(key, point string, local bool, query func(string) (Space, error)) {
	const source = "statfs"
	s, err := Space{}, errors.New("network file systems are not queried, because they may not answer")
	if local && query == nil {
		err = errors.New("not queried")
	} else if local {
		s, err = query(point)
	}
	if err != nil {
		r.addUnknown(key+"size_b", source, err)
		r.add(events.HardwareFact{Key: key + "free_b", Source: source, Confidence: events.ConfidenceUnknown, Error: errorText(err), Volatile: true})
		return
	}
	r.addCertain(key+"size_b", events.NumberValue(int64(s.Total)), source)
	r.addVolatile(key+"free_b", events.NumberValue(int64(s.Free)), source)
	r.addVolatile(key+"free_inodes", events.NumberValue(int64(s.InodesFree)), source)
}
