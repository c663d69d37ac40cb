# Flops a second against flops a byte, both logarithmic, under what memory and the arithmetic unit allow.
set terminal svg size 760, 440 font "sans,11" background "white"
set output picture
set logscale xy
set grid
set xlabel "flops for each byte of operands and results"
set ylabel "1e9 flops a second"
set xrange [0.03:20000]
set yrange [0.5:1500]
set key bottom right
set datafile separator "\t"
roof(bytes, x) = bytes * x < peak ? bytes * x : peak
plot roof(l1, x) with lines linewidth 2 title "scaling in place in L1, multiply-adds in registers", \
     roof(memory, x) with lines linewidth 2 title "scaling in place in memory", \
     roof(reading, x) with lines linewidth 2 title "reading memory", \
     data using 2:3 with points pointtype 7 pointsize 0.7 linecolor "black" notitle, \
     data using ($3 < peak ? $2 : NaN):3:1 with labels left offset 0.8, -0.6 notitle, \
     data using ($3 >= peak && $2 < 300 ? $2 : NaN):3:1 with labels right offset -0.8, 0.6 notitle, \
     data using ($3 >= peak && $2 >= 300 ? $2 : NaN):3:1 with labels left offset 0.8, 0.6 notitle
