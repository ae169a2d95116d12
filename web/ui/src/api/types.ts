// The shapes of Prometheus' HTTP API, as api/http answers them.

export type Labels = Record<string, string>;

/** A sample: Unix time in seconds, and the value as text ("NaN", "+Inf" included). */
export type Sample = [time: number, value: string];

export interface Series {
  metric: Labels;
  values?: Sample[];
  histograms?: unknown[];
}

export interface InstantSample {
  metric: Labels;
  value?: Sample;
  histogram?: [number, HistogramValue];
}

export interface HistogramValue {
  count: string;
  sum: string;
}

export interface MatrixData {
  resultType: "matrix";
  result: Series[];
}

export type InstantData =
  | { resultType: "vector"; result: InstantSample[] }
  | { resultType: "scalar" | "string"; result: Sample }
  | MatrixData;

export interface Target {
  discoveredLabels: Labels;
  labels: Labels;
  scrapePool: string;
  scrapeUrl: string;
  globalUrl: string;
  lastError: string;
  lastScrape: string;
  lastScrapeDuration: number; // seconds
  health: string; // up, down, unknown
  scrapeInterval: string;
  scrapeTimeout: string;
  status?: string;
  lastWarning?: string;
  lastSamples?: number;
}

export interface Targets {
  activeTargets: Target[];
  droppedTargets: { discoveredLabels: Labels; scrapePool: string }[];
  droppedTargetCounts?: Record<string, number>;
  discoveryProblems?: { scrapePool: string; source: string; error: string }[];
}

/** One relabelling rule, by the names that it has in the configuration. */
export interface RelabelRule {
  source_labels?: string[];
  separator: string;
  regex?: string;
  modulus?: number;
  target_label?: string;
  replacement: string;
  action: string;
}

export interface RelabelStep {
  rule: RelabelRule;
  input: Labels;
  output: Labels;
  keep: boolean;
}

export interface Alert {
  labels: Labels;
  annotations: Labels;
  state: string;
  activeAt?: string;
  value: string;
}

export interface AlertingRule {
  type: "alerting";
  name: string;
  query: string;
  state: string; // inactive, pending, firing
  duration: number; // seconds
  keepFiringFor: number; // seconds
  labels: Labels;
  annotations: Labels;
  alerts: Alert[] | null;
  health: string;
  lastError?: string;
  evaluationTime: number; // seconds
  lastEvaluation: string;
}

export interface RecordingRule {
  type: "recording";
  name: string;
  query: string;
  labels?: Labels;
  health: string;
  lastError?: string;
  evaluationTime: number; // seconds
  lastEvaluation: string;
}

export type Rule = AlertingRule | RecordingRule;

export interface RuleGroup {
  name: string;
  file: string;
  rules: Rule[];
  interval: number; // seconds
  evaluationTime: number; // seconds
  lastEvaluation: string;
}

/** A query that waits or runs; times in seconds, start and end since the Unix epoch. */
export interface ActiveQuery {
  id: string;
  query: string;
  tenant: string;
  kind: string; // instant, range, rule
  state: string; // waiting, running
  start: number;
  end: number;
  step: number;
  arrivedAt: string;
  queuedTime: number;
  runningTime: number;
  seriesSelected: number;
  seriesRead: number;
  samplesRead: number;
  memoryBytes: number;
  memoryPeakBytes: number;
}

export type Info = Record<string, string | number | boolean | null>;

/** Something that series have in common, and how many they are. */
export interface Cardinal {
  name: string;
  series: number;
  newSeries: number;
  samplesPerSecond: number;
  growth: number; // may be negative
}

export interface Ranking {
  bySeries: Cardinal[];
  byChurn: Cardinal[];
  bySamplesPerSecond: Cardinal[];
  byGrowth: Cardinal[];
}

/** A label with more values than its limit. */
export interface OverLimit {
  metric: string;
  label: string;
  job?: string;
  instance?: string;
  values: number; // about
  limit: number;
  newSeries: number;
  policy: string;
  since: string;
  example: string;
}

export interface TsdbStatus {
  headStats: { numSeries: number; numLabelPairs: number; chunkCount: number };
  labelValueCountByLabelName: { name: string; value: number }[];
  metrics: Ranking;
  labels: Ranking;
  labelPairs: Ranking;
  jobs: Ranking;
  targets: Ranking;
  churnSince: string | null;
  growthSince: string | null;
  overLimit: OverLimit[];
}
