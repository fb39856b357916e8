/// Single numbers out of the streams of an event, by name: positions, currents, counts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/event.hpp"

namespace dtranspose {

/// What an event says of one scalar.
struct scalar {
  enum class state : std::uint8_t {
    number,  ///< `number` holds it; it may be NaN if the instrument said so
    missing, ///< the stream should be in this event, and its data is missing
    absent,  ///< the trigger map sends no data of that stream here
    message, ///< a start or an end, which holds no reading
  };
  state what = state::absent;
  double number = 0; ///< NaN unless `what` is `number`

  bool is_number() const { return what == state::number; }
};

/// Reads scalars by name, `STREAM:FIELD`. What a field is depends on the type of the stream:
///
/// | type          | fields                                                                                |
/// | ------------- | ------------------------------------------------------------------------------------- |
/// | albaem        | `channel1` (A), `timestamp` (s), any other key with a number                          |
/// | PCAP          | a column, `INENC1.VAL.Mean`; `frame_number`                                           |
/// | PCAP_RAW      | a column in its unit, `INENC1.VAL.Mean`                                               |
/// | contrast      | a motor or detector, `sx`; something in it, `panda0/INENC1.VAL_Mean`; `dt` (s)        |
/// | sardana       | a column; `timestamp` (s), `point_nb`                                                 |
/// | bluesky       | a data key; `time` (s), `seq_num`                                                     |
/// | lecroy        | channel and statistic, `1/mean`: mean, sum, min, max, rms of all samples; `1/ts` (s)  |
/// | xspress       | a counter of a detector element, `dtc/0`; `exptime` (s); `sum` of all counts          |
/// | with images   | `sum`, `mean`, `min`, `max` of all pixels; of STINS also any key with a number        |
/// | any other     | keys of a JSON header in part 0, with dots in between                                 |
///
/// One reader belongs to one worker, and is shown every event, starts among them: of a PandABox over TCP the
/// columns are known from there.
class scalar_reader {
 public:
  /// `names` as above; an empty one is never read and always absent. Throws std::invalid_argument for a name
  /// without stream or field.
  explicit scalar_reader(std::vector<std::string> names);
  scalar_reader(scalar_reader&&) noexcept;
  scalar_reader& operator=(scalar_reader&&) noexcept;
  ~scalar_reader();

  /// What `e` says of each, in order of the names; valid until the next call. A stream is decoded once for
  /// all its fields. Throws std::runtime_error, naming stream and field, where data lacks that field or it is
  /// no number.
  const std::vector<scalar>& read(const event& e);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Throws std::invalid_argument, naming the parameter, unless `name` is `STREAM:FIELD` or, where that is
/// allowed, empty.
void check_scalar_name(std::string_view parameter, std::string_view name, bool may_be_empty = true);

} // namespace dtranspose
