/// Quantities as people write them: durations, sizes, rates, addresses. Nothing is guessed: what
/// does not read completely, or has a unit that is not listed, reads as nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dtranspose {

/// `100ms`, `1.5s`, `5min`; units ns, us, ms, s, min, h; blanks around it and before the unit are
/// fine. A bare `0` needs no unit. Never negative; nothing beyond some 292 years.
std::optional<std::chrono::nanoseconds> duration_of(std::string_view text);

/// `2GiB`, `64kB`, `123`; units B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of
/// 1024); without a unit: bytes. Fractions of bytes are dropped.
std::optional<std::uint64_t> size_in_bytes(std::string_view text);

/// `100Hz`, `2.5kHz`, `1MHz`, in Hz; a bare `0` needs no unit. Finite, never negative.
std::optional<double> rate_in_hertz(std::string_view text);

/// Where a process listens or is reached.
struct host_and_port {
  std::string host; ///< name or address, an IPv6 address without its brackets
  std::uint16_t port = 0;

  bool operator==(const host_and_port&) const = default;
};

/// `127.0.0.1:4242`, `host.site:5000`, `[::1]:5000`.
std::optional<host_and_port> host_and_port_of(std::string_view text);

/// Can only this machine reach it?
bool is_loopback(const std::string& host);

/// The form that `host_and_port_of` reads.
std::string to_string(const host_and_port& address);

} // namespace dtranspose
