"""Names of the feature reference (sections 1.1 to 1.9): each is a column of the table that it belongs to.

Levels and windows are named by the rules of the reference's head: features over k levels end in ``_top{k}``, windows
in ``_{h}s``.
"""

from __future__ import annotations

import pytest

from sqlgen.compile.compiler import Compiler
from sqlgen.project import project
from tests.support.engine import ROOT


def words(text: str) -> list[str]:
    return text.split()


SIDES = ("bid", "ask")
BOOK = words("""best_bid best_ask mid_price spread relative_spread spread_bps microprice micro_minus_mid imbalance_top1
    imbalance_top3 imbalance_top5 imbalance_top10 total_bid_depth total_ask_depth total_imbalance vwap_bid_top5
    vwap_ask_top5 vwap_spread_top5 smart_bid_depth smart_ask_depth smart_depth_imbalance slope_asymmetry_top5
    center_of_gravity cog_vs_mid avg_depth_decay_top5 lambda_like amihud_like book_convexity hour_of_day minute_of_hour
    day_of_week is_weekend ofi mlofi ofi_multi log_return mid_velocity mid_accel buy_volume sell_volume trade_volume tfi
    cog_momentum_mean_60s cog_momentum_std_60s depth_0_5bps_sigma depth_variance_300s depth_sigma_300s ofi_impact
    ofi_impact_r2 kyle_lambda spread_percentile spread_regime spread_regime_tight_frac spread_regime_wide_frac vpin
    segment_age_s book_state""")
BY_SIDE = words("""{}_price_00 {}_size_19 {}_slope_top5 {}_slope_regression {}_depth_decay_top5 {}_concentration
    {}_vol_band_0_5bps {}_vol_band_50_100bps {}_50pct_depth_levels {}_slope_mean_60s {}_slope_std_60s""")
BY_HORIZON = words("""ofi_sum_{}s mlofi_sum_{}s rv_{}s ret_std_{}s mean_return_{}s mean_relative_spread_{}s
    mean_relative_spread_tw_{}s tfi_{}s trade_vol_{}s""")
MOVES = words("""open high low close realized_variance return log_return range annualized_vol has_gap bar_start bar_end
    bar_seconds""")
FLOWS = words("volume dollar_volume trade_count buy_volume sell_volume unknown_volume vwap")
EVENT_BAR = [*words("open high low close buy_ratio start_time end_time duration"), *FLOWS]
NAMES = {
    "orderbook_hf": [
        *BOOK,
        *(name.format(side) for name in BY_SIDE for side in SIDES),
        *(name.format(seconds) for name in BY_HORIZON for seconds in (5, 15, 60, 300, 900)),
        *(f"imb_band_{band}bps" for band in ("0_5", "5_10", "10_25", "25_50", "50_100")),
    ],
    "orderbook_bars": [
        *MOVES,
        *words("snapshot_count mean_spread min_spread max_spread mean_relative_spread mean_imbalance_top1"),
        *words("mean_total_imbalance mean_microprice mean_micro_minus_mid mean_total_bid_depth mean_total_ask_depth"),
        *words("mean_smart_depth_imbalance sum_ofi sum_mlofi"),
    ],
    "trades_bars": [*MOVES, *FLOWS, "tfi"],
    "trades_features": [
        *words("is_buy dollar_volume signed_volume log_return segment_age_s"),
        *(
            f"{name}_{seconds}s"
            for name in words("vwap volume dollar_volume trade_count buy_trade_ratio realized_var")
            for seconds in (60, 300, 900)
        ),
    ],
    "ticker_features": [
        *words("spread relative_spread mid_price volume_imbalance range_24h range_24h_pct segment_age_s"),
        *(
            f"{name}_{seconds}s"
            for name in words("mid_price_mean mid_price_std spread_mean vol_imbalance_mean")
            for seconds in (60, 300, 900)
        ),
    ],
    "volume_bars": EVENT_BAR,
    "tick_bars": EVENT_BAR,
    "dollar_bars": EVENT_BAR,
    "imbalance_bars": EVENT_BAR,
    "run_bars": EVENT_BAR,
    "ofi_bars": [
        *words("bar_start bar_end return next_return ofi ofi_09 ofi_norm_00 ofi_norm_09 integrated_ofi ofi_explained"),
        *words("mid_price segment_age_s"),
    ],
    "event_flow_bars": [
        *words("bar_start bar_end bar_seconds event_ofi"),
        *(
            f"{side}_{kind}_{what}_{place}"
            for side in SIDES
            for kind in words("limit cancel market")
            for what in words("volume count rate")
            for place in words("best beyond")
        ),
    ],
}
NOT_EMITTED = words("""imbalance_L1 order_flow_toxicity book_pressure total_bid_volume ofi_step mlofi_step mlofi_decay
    value trade_imbalance hour bid_slope tick_count""")


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return Compiler(project.load(ROOT / "models.yaml"))


@pytest.mark.parametrize("model", NAMES)
def test_every_name_is_a_column(compiler: Compiler, model: str) -> None:
    columns = compiler.compile(model).descriptions
    assert [name for name in NAMES[model] if name not in columns] == []
    assert [name for name in NOT_EMITTED if name in columns] == []
