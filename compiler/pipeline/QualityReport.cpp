//===- QualityReport.cpp - what was measured, in the report -------------------===//

#include "compiler/pipeline/QualityReport.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

void addTimesteps(const std::vector<TimestepQuality> &timesteps,
                  google::protobuf::RepeatedPtrField<TimestepReport> &report) {
  for (const TimestepQuality &quality : timesteps) {
    TimestepReport &timestep = *report.Add();
    timestep.set_first(quality.timesteps.first);
    timestep.set_last(quality.timesteps.last);
    timestep.set_calls(quality.calls);
    timestep.set_psnr(quality.psnr);
    timestep.set_worst_psnr(quality.worstPsnr);
    if (quality.guidance.pairs == 0)
      continue;
    timestep.set_guided_psnr(quality.guidance.psnr);
    timestep.set_guidance_sqnr(quality.guidance.sqnr);
    timestep.set_guidance_cosine(quality.guidance.cosine);
  }
}

void setGuidance(const QualityResult &quality, ModuleReport &report) {
  if (quality.guidance.pairs == 0)
    return;
  report.set_guidance_pairs(quality.guidance.pairs);
  report.set_guided_psnr(quality.guidance.psnr);
  report.set_guidance_sqnr(quality.guidance.sqnr);
  double cosine = 1;
  for (const TimestepQuality &timestep : quality.timesteps)
    if (timestep.guidance.pairs > 0)
      cosine = std::min(cosine, timestep.guidance.cosine);
  report.set_guidance_cosine(cosine);
}

} // namespace

void setQuality(const QualityResult &quality, ModuleReport &report) {
  clearQuality(report);
  report.set_psnr(psnr(quality));
  report.set_samples(quality.samples);
  const OutputQuality *worst = nullptr;
  for (const OutputQuality &output : quality.outputs)
    if (!worst || output.worstPsnr < worst->worstPsnr)
      worst = &output;
  if (worst) {
    report.set_worst_psnr(worst->worstPsnr);
    report.set_worst_call(worst->worstCall);
  }
  for (const TimestepQuality &bucket : quality.buckets)
    report.set_worst_bucket_psnr(report.has_worst_bucket_psnr()
                                     ? std::min(report.worst_bucket_psnr(), bucket.psnr)
                                     : bucket.psnr);
  addTimesteps(quality.buckets, *report.mutable_timestep_buckets());
  addTimesteps(quality.timesteps, *report.mutable_timesteps());
  setGuidance(quality, report);
  for (const LayerQuality &layerQuality : quality.layers) {
    LayerReport &layer = *report.add_layers();
    layer.set_name(layerQuality.name);
    layer.set_sqnr(layerQuality.sqnr);
    layer.set_cosine(layerQuality.cosine);
    layer.set_isolated_sqnr(layerQuality.isolatedSqnr);
  }
}

void setRanges(const Statistics &statistics, ModuleReport &report) {
  report.clear_range_timesteps();
  if (statistics.timesteps().size() < 2)
    return;
  for (const TimestepBuckets::Interval &interval : statistics.timesteps()) {
    TimestepInterval &to = *report.add_range_timesteps();
    to.set_first(interval.first);
    to.set_last(interval.last);
  }
  for (LayerReport &layer : *report.mutable_layers()) {
    layer.clear_ranges();
    const ValueStatistics *value = statistics.find(layer.name());
    if (!value)
      continue;
    for (const BucketStatistics &bucket : value->buckets) {
      ValueRange &range = *layer.add_ranges();
      range.set_min(bucket.min);
      range.set_max(bucket.max);
      const double count = std::max(static_cast<double>(bucket.count), 1.0);
      range.set_rms(std::sqrt(bucket.sumOfSquares / count));
    }
  }
}

void clearQuality(ModuleReport &report) {
  report.clear_psnr();
  report.clear_worst_psnr();
  report.clear_worst_call();
  report.clear_worst_bucket_psnr();
  report.clear_guidance_pairs();
  report.clear_guided_psnr();
  report.clear_guidance_sqnr();
  report.clear_guidance_cosine();
  report.clear_timestep_buckets();
  report.clear_timesteps();
  report.clear_samples();
  report.clear_layers();
}

} // namespace sdopt
