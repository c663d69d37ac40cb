# Horizontal bars: a row's share of its limit.
stats data using 2 nooutput
set terminal svg size 960, 60 + 18 * STATS_records font "sans,11" background "white"
set output picture
set yrange [STATS_records - 0.5 : -0.5]
set xrange [0 : *]
set grid xtics
set style fill solid 0.8 noborder
set xlabel "share of the limit measured beside it"
set lmargin 64
unset key
set arrow from 1, graph 0 to 1, graph 1 nohead dashtype 2
plot data using ($2 / 2) : 0 : ($2 / 2) : (0.35) : ytic(1) with boxxyerror linecolor rgb "#3b6ea5"
