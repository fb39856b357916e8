/// How the process's memory allocator treats the buffers of frames.
#pragma once

namespace dtranspose {

/// Keeps freed memory for the next frame instead of giving it back to the system: with glibc's defaults every
/// buffer of 128 KiB and more is mapped, filled page by page and unmapped again, which halves the rate of
/// large frames. Some 100 MiB may then stay with an idle process.
void keep_freed_memory();

} // namespace dtranspose
