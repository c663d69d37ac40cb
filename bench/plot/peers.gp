# Horizontal bars: the share of the machine's limit that each library reaches.
stats data using 2 nooutput
set terminal svg size 1000, 90 + 18 * STATS_records font "sans,11" background "white"
set output picture
set yrange [STATS_records - 0.5 : -0.5]
set xrange [0 : *]
set grid xtics
set style fill solid 0.8 noborder
set xlabel "share of the limit measured beside it"
set bmargin 4.5
set label caption at screen 0.01, character 1 noenhanced
set lmargin 68
unset key
set arrow from 1, graph 0 to 1, graph 1 nohead dashtype 2
plot data using ($2 / 2) : 0 : ($2 / 2) : (0.35) : ($3 == 1 ? 0x2f6f9f : 0x9aa5ad) : ytic(1) with boxxyerror linecolor rgb variable
