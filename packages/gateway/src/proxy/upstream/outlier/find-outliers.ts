/** What an instance did in an interval. */
export interface OutlierSample {
  /** Its place in the service's list. */
  readonly index: number;
  readonly requests: number;
  readonly failures: number;
}

export interface Outlier {
  readonly index: number;
  readonly reason: "success-rate" | "failure-share";
  /** The reason with its figures, for people. */
  readonly detail: string;
}

// Envoy's defaults: success_rate_minimum_hosts, success_rate_request_volume, success_rate_stdev_factor / 1000.
const rateInstancesMin = 5;
const rateRequestsMin = 100;
const rateDeviations = 1.9;
/**
 * Least distance from the mean. Where all are nearly perfect the deviation is nearly nothing, and by Envoy's rule one
 * failure in a thousand requests would be an outlier.
 */
const rateDistanceMin = 0.05;

const shareInstancesMin = 2;
const shareRequestsMin = 20;
const shareMin = 0.5;
/** Below this an instance is well. At least half of those compared must be. */
const shareWell = 0.25;

/**
 * Instances that did worse than the others in an interval, the worst first. With at least five that had a hundred
 * requests each: whose rate of success is more than 1.9 standard deviations below the mean (Envoy's success rate
 * ejection, `outlier_detection_impl.cc`). With fewer, which have no meaningful deviation: who failed half of at least
 * twenty requests, while at least half of the others that can be compared are well (after Envoy's failure percentage,
 * which compares with nobody). When all fail alike, nobody is an outlier.
 */
export function findOutliers(samples: readonly OutlierSample[]): Outlier[] {
  const busy = samples.filter(({ requests }) => requests >= rateRequestsMin);
  const found = busy.length >= rateInstancesMin ? byRate(busy) : byShare(samples);
  return found
    .sort((a, b) => shareOf(b) - shareOf(a) || a.index - b.index)
    .map((sample) => ({
      index: sample.index,
      reason: busy.length >= rateInstancesMin ? "success-rate" : "failure-share",
      detail: `${sample.failures} of ${sample.requests} requests failed, more than of the others`,
    }));
}

function byRate(samples: readonly OutlierSample[]): OutlierSample[] {
  const rates = samples.map((sample) => 1 - shareOf(sample));
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length;
  const least = mean - Math.max(rateDeviations * Math.sqrt(variance), rateDistanceMin);
  return samples.filter((_, i) => (rates[i] ?? 1) < least);
}

function byShare(samples: readonly OutlierSample[]): OutlierSample[] {
  const busy = samples.filter(({ requests }) => requests >= shareRequestsMin);
  const well = busy.filter((sample) => shareOf(sample) < shareWell);
  if (busy.length < shareInstancesMin || well.length * 2 < busy.length) return [];
  return busy.filter((sample) => shareOf(sample) >= shareMin);
}

function shareOf({ failures, requests }: OutlierSample): number {
  return requests === 0 ? 0 : failures / requests;
}
