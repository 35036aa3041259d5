#!/usr/bin/env bash
# Fetches llama-server from Debian's unstable suite into DIR, without installing
# anything, and prints the command that runs it on an older Debian.
set -euo pipefail
dir=${1:?usage: fetch.sh DIR}
mkdir -p "$dir"/lists/partial "$dir"/archives/partial "$dir"/debs
dir=$(cd "$dir" && pwd)
arch=$(dpkg --print-architecture)
multi=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch 2>/dev/null || echo x86_64-linux-gnu)
case $arch in
amd64) loader=lib64/ld-linux-x86-64.so.2 cpu=libggml-cpu-haswell.so ;;
arm64) loader=lib/ld-linux-aarch64.so.1 cpu=libggml-cpu-armv8.2_2.so ;;
*) echo "llama-server is not available for $arch" >&2 && exit 1 ;;
esac
if [ ! -e "$dir/root/usr/bin/llama-server" ]; then
	cat >"$dir/apt.conf" <<END
APT::Architecture "$arch";
APT::Sandbox::User "root";
Dir::State::lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache "$dir";
Dir::Cache::archives "$dir/archives";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
END
	: >"$dir/status"
	echo 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main' >"$dir/sources.list"
	export APT_CONFIG=$dir/apt.conf
	apt-get update -q >&2
	(cd "$dir/debs" && apt-get download -q libc6 libstdc++6 libgcc-s1 libssl3t64 libgomp1 zlib1g libzstd1 libggml0 libllama0 llama.cpp-tools >&2)
	rm -rf "$dir/new"
	for deb in "$dir"/debs/*.deb; do dpkg -x "$deb" "$dir/new"; done
	mv "$dir/new" "$dir/root"
fi
lib=$dir/root/usr/lib/$multi
echo "env GGML_BACKEND_PATH=$lib/ggml/backends0/$cpu $dir/root/usr/$loader --library-path $lib:$lib/llama:$lib/ggml $dir/root/usr/bin/llama-server"
