#!/bin/bash
# Tests the package in the guest, as a unit under real systemd.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
trap 'echo "FAILED at line $LINENO: $BASH_COMMAND"; systemctl --no-pager --full status "cortex*" | tail -n 40; journalctl --no-pager -n 40 -u "cortex*" | cut -c1-300' ERR
ok() { echo "ok: $*"; }

apt-get -q update
apt-get -q -y install cortex
systemctl is-active cortexd.socket cortex-worker.socket
systemctl is-enabled cortexd.socket cortex-worker.socket
! systemctl is-active cortexd.service
ok "the package is installed: the sockets listen, no daemon runs"

pkaction --verbose --action-id org.cortex.run | grep -q 'implicit active: *auth_admin_keep'
ok "polkit has the action for pkexec"

cortex install uml-toy --yes
pid=$(systemctl show -p MainPID --value cortexd.service)
cortex status --json | grep -q "\"pid\": $pid"
[ "$(systemctl show -p NRestarts --value cortexd.service)" = 0 ]
ok "a command started the daemon through its socket"
grep -q cortex-worker.service /var/lib/uml-toy.cgroup
ok "maintainer scripts ran in the worker's unit"
! nsenter -t "$pid" -m touch /etc/written /usr/written 2>/dev/null
nsenter -t "$pid" -m touch /var/lib/cortex/written && rm /var/lib/cortex/written
grep -q '^CapEff:[[:space:]]*0*4$' "/proc/$pid/status"
ok "the daemon can write its state, cannot write /etc and /usr, and has one capability"

cortex limits run batch --backend systemd -- cat /proc/self/cgroup | grep -q 'cortex-batch-.*[.]scope'
cortex events list --type 'limits.reverted.v1' | grep -q ended
systemd-run --quiet --unit=limited sleep 1000
cortex limits attach limited --profile batch --backend systemd
systemctl show --property=TasksMax limited.service | grep -qx TasksMax=4096
cortex limits revert limited.service
! systemctl show --property=TasksMax limited.service | grep -qx TasksMax=4096
systemctl stop limited.service
ok "the worker's unit applied limits, which the daemon's unit cannot do"

echo mine >/etc/uml-toy.conf
cortex purge uml-toy --yes
[ ! -e /etc/uml-toy.conf ]
cortex undo --yes
[ "$(cat /etc/uml-toy.conf)" = mine ]
ok "an undo restored the edited configuration file"
SUDO_USER=alice cortex undo 1 --force /etc/uml-toy.conf --yes
[ ! -e /etc/uml-toy.conf ]
cortex events list --json | grep -q alice
ok "the log contains the user who called sudo"

cortex install uml-slow --yes &
until [ -e /run/slow.waits ]; do sleep 0.2; done
systemctl kill -s KILL --kill-who=main cortexd.service
touch /run/slow.go
code=0; wait $! || code=$?
[ "$code" = 130 ]
dpkg-query -W -f '${db:Status-Status}\n' uml-slow | grep -qx installed
cortex show last | grep -q interrupted
cortex undo --yes
[ ! -e /etc/uml-slow.conf ]
ok "the daemon was killed: apt continued, and the history has the outcome"

setpriv --reuid=65534 --clear-groups cortex history | grep -q uml-toy
code=0; setpriv --reuid=65534 --clear-groups cortex install uml-toy --yes </dev/null || code=$?
[ "$code" = 4 ]
ok "unprivileged users can read and cannot change packages"

apt-get -q -y install uml-toy
cortex history --json | grep -q 'install uml-toy'
cortex replay --verify
systemctl stop cortexd.service
cortex remove uml-toy --yes
cortex logs | grep -q "daemon started"
ok "a command started the stopped daemon again"

apt-get -q -y remove cortex
! systemctl is-active cortexd.socket
[ -d /var/lib/cortex/read ]
apt-get -q -y install cortex
cortex history | grep -q uml-toy
ok "the package was removed and reinstalled: the history is complete"
apt-get -q -y purge cortex
left=$(find / -xdev \( -path /proc -o -path /sys -o -path /packages -o -path /var/log -o -path /var/cache/apt -o -path /var/lib/apt -o -path /run/log -o -path /dev \) -prune -o \( -iname '*cortex*' \) -print)
[ -z "$left" ] || { echo "$left"; false; }
! systemctl is-active cortexd.service cortex-worker.socket
ok "the package was purged: no files remain"
echo "ALL CHECKS PASSED"
