#!/bin/bash
# Boots a small Debian with real systemd under User-Mode Linux, installs the package
# there and runs inside.sh. Usage: run.sh PACKAGE.deb, as root. Needs user-mode-linux and
# mmdebstrap. The script caches the guest's file system in dist/uml.
set -euo pipefail
deb=$(realpath "$1") here=$(realpath "$(dirname "$0")")
mkdir -p dist/uml
cache=$(realpath dist/uml) root=$(realpath dist/uml)/root
if [ ! -e "$cache/base-2.tar" ]; then
	mmdebstrap --variant=minbase --include=systemd,systemd-sysv,dbus,polkitd,pkexec,util-linux,procps \
		--aptopt='Acquire::Check-Valid-Until "false"' bookworm "$cache/new.tar"
	mv "$cache/new.tar" "$cache/base-2.tar"
fi
rm -rf "$root" && mkdir "$root" && tar -C "$root" --numeric-owner -xf "$cache/base-2.tar"

mkdir -p "$root/packages"
# toy NAME POSTINST builds a toy package.
toy() {
	local dir=$cache/toy
	rm -rf "$dir" && mkdir -p "$dir/DEBIAN" "$dir/etc"
	printf 'Package: %s\nVersion: 1.0\nArchitecture: all\nMaintainer: Toys <toys@example.org>\nDescription: a toy package\n' "$1" >"$dir/DEBIAN/control"
	echo "/etc/$1.conf" >"$dir/DEBIAN/conffiles"
	echo theirs >"$dir/etc/$1.conf"
	printf '#!/bin/sh\n%s\n' "$2" >"$dir/DEBIAN/postinst" && chmod 755 "$dir/DEBIAN/postinst"
	dpkg-deb --root-owner-group -b "$dir" "$root/packages/$1.deb" >/dev/null
}
toy uml-toy 'cat /proc/self/cgroup >/var/lib/uml-toy.cgroup'
toy uml-slow 'touch /run/slow.waits; until [ -e /run/slow.go ]; do sleep 0.2; done'
cp "$deb" "$root/packages/cortex.deb"
for p in uml-toy uml-slow cortex; do
	f=$root/packages/$p.deb
	dpkg-deb -f "$f"
	printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' "$p" "$(stat -c %s "$f")" "$(sha256sum "$f" | cut -d' ' -f1)"
done >"$root/packages/Packages"
echo 'deb [trusted=yes] copy:/packages ./' >"$root/etc/apt/sources.list"

cp "$here/inside.sh" "$root/inside.sh"
cat >"$root/etc/systemd/system/inside.service" <<-EOF
	[Unit]
	After=multi-user.target
	[Service]
	Type=oneshot
	ExecStart=/bin/bash /inside.sh
	ExecStopPost=/usr/bin/systemctl poweroff --force
	StandardOutput=tty
	StandardError=tty
	TTYPath=/dev/console
	TimeoutStartSec=infinity
	[Install]
	WantedBy=default.target
EOF
ln -sf /etc/systemd/system/inside.service "$root/etc/systemd/system/multi-user.target.wants/inside.service"

log=$cache/console.log
rm -f "$cache/root.img" && truncate -s 1500M "$cache/root.img"
mke2fs -q -F -t ext4 -d "$root" "$cache/root.img"
timeout 900 linux.uml mem=768M ubd0="$cache/root.img" root=/dev/ubda rw init=/lib/systemd/systemd \
	con=null con0=null,fd:1 quiet </dev/null >"$log" 2>&1 || true
grep -aE '^(ok:|ALL CHECKS)' "$log" || true
grep -aq '^ALL CHECKS PASSED' "$log" || { tail -n 80 "$log"; exit 1; }
