// The icons in use, by what they mean here.

import {
  IconAlertTriangle, IconBell, IconChartBar, IconCircleCheck, IconClock, IconDeviceDesktop, IconHelpCircle, IconHome, IconInfoCircle,
  IconMoon, IconPlus, IconServer, IconSun, IconTarget, IconTerminal2, IconTrash, IconXboxX,
} from "@tabler/icons-preact";

const icons = {
  home: IconHome,
  query: IconTerminal2,
  targets: IconTarget,
  alerts: IconBell,
  cardinality: IconChartBar,
  status: IconServer,
  auto: IconDeviceDesktop,
  light: IconSun,
  dark: IconMoon,
  good: IconCircleCheck,
  warn: IconAlertTriangle,
  bad: IconXboxX,
  wait: IconClock,
  unknown: IconHelpCircle,
  info: IconInfoCircle,
  add: IconPlus,
  remove: IconTrash,
};

export type IconName = keyof typeof icons;

/** An icon beside text that says the same: hidden from readers of the screen. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  const Found = icons[name];
  return <Found class="icon" size={size} stroke={1.8} aria-hidden="true" />;
}
