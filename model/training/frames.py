"""What people say around an instruction, and between two. `HELD` lists are for the evaluation alone."""
from phrases import held_apart, more

ASKED = ["please {}", "please {}", "could you {}", "can you {}", "could you please {}", "can you please {}", "would you {}", "would you please {}", "will you {}",
         "i'd like you to {}", "i want you to {}", "you should {}", "kindly {}", "go ahead and {}", "try to {}", "i need you to {}", "please can you {}",
         "just {}", "now {}", "then {}", "let's {}", "maybe you could {}", "is it possible to {}", "i would like to {}",
         "is there a way to {}", "do you think you could {}", "why don't you {}", "would it be possible to {}", "it is time to {}", "i'd love for you to {}",
         "i would love it if you could {}", "i hope you can {}", "if you can, {}", "when you have time, {}", "we need to {}", "you could {}", "be nice and {}",
         "be so good and {}", "help me to {}", "help me {}", "i want to {}", "i'd like to {}", "what i want is to {}", "please try to {}", "make sure to {}",
         "remember to {}", "you have to {}", "can we {}", "could we {}", "can i get you to {}", "i need to {}", "time to {}", "one more thing: {}", "step one: {}",
         "here is what to do: {}", "the next step is to {}", "this is what i want: {}", "i beg you to {}", "it would help if you could {}", "it'd be good to {}",
         "are you able to {}", "do {}", "why don't we {}", "shall we {}", "my wish is to {}", "you can {}", "you must {}", "you need to {}", "we should {}",
         "all i want is to {}", "i decided to {}", "i suggest to {}", "feel free to {}", "don't forget to {}", "be quick and {}", "could you maybe {}",
         "can you just {}", "could you quickly {}", "would you mind to {}", "what if you {}", "the plan is to {}", "your task is to {}", "i'm hoping you can {}",
         "so can you {}", "and could you {}", "could you also {}", "could you at least {}"]
HELD_ASKED = ["would you be so kind as to {}", "i was wondering if you could {}", "do me a favor and {}", "it would be great if you could {}", "i'd be happy if you could {}",
              "may i ask you to {}", "any chance you could {}"]
AROUND = ["hey, {}", "hi, {}", "hello, {}", "hmm, {}", "hmm {}", "ok, {}", "ok {}", "so {}", "well, {}", "now, {}", "oh, {}", "{} please", "{}, please", "{} thanks", "{}, thanks",
          "{}, thank you", "{} for me", "{} now", "{} this time", "{} ok", "{} if you can", "um {}", "yes, {}", "great, now {}", "i think {}",
          "excuse me, {}", "hello there, {}", "hey you, {}", "my friend, {}", "listen, {}", "look, {}", "right, {}", "fine, {}", "good, {}", "perfect, {}", "cool, {}",
          "nice, {}", "and {}", "but {}", "also {}", "oh please {}", "{}, will you", "{}, would you", "{} ok?", "{}, right", "{} today", "{} quickly", "{}, that is all",
          "{} and thank you", "{} my friend", "{}, and that's it", "{} again", "{} right now", "{} at once", "{} as soon as you can", "{}, i think",
          "{} so that it looks nice", "{}, many thanks", "{} for a change", "{}, it looks nicer that way", "for me, {}", "as a next step, {}", "in this picture, {}",
          "uh, {}", "er, {}", "ah, {}", "actually, {}", "actually {}", "honestly, {}", "simply {}", "quickly {}", "sorry, {}", "sorry but {}", "finally, {}",
          "last thing: {}", "in the picture, {}", "i changed my mind, {}", "since you are here, {}", "before you go, {}", "we are nearly there, {}", "first, {}",
          "let me see, {}", "you know what, {}", "by the way, {}", "{}. thanks", "{}. please", "hello! {}", "hi there. {}", "i mean {}", "{}, you know", "{} then",
          "{} first", "{} soon", "{} somehow", "{}, please and thank you"]
HELD_AROUND = ["alright, {}", "{}, cheers", "good, and now {}", "dear computer, {}", "{} if possible", "{}, that would be lovely", "wait, {}"]
ALONE = ["don't touch {other}, just {}", "leave {other} alone and {}", "leave the rest alone and {}", "{} but keep everything else the same", "{}, nothing else", "only {}",
         "without changing anything else, {}", "{} but keep {other} as it is", "{} and leave {other} as it is", "keep {other} and {}", "don't change {other} but {}",
         "{}, but don't touch {other}", "{} but leave the rest", "{} and keep the rest", "do not touch {other}, {}", "{}, everything else stays",
         "{} but leave {other}", "{} but don't change {other}", "{}, and leave {other} alone", "leave {other} as it is but {}", "{other} can stay, but {}",
         "{other} is fine, {}", "{}, {other} is fine as it is", "{} and nothing else", "{} without touching {other}", "{} without changing {other}",
         "the only change: {}", "{} and don't touch anything else", "keep {other} as it is and {}", "{}, leave everything else", "{}. leave the rest",
         "with everything else the same, {}", "please leave {other} and {}", "{other} should stay, {}", "not {other}, just {}", "i like {other}, but {}",
         "{}, don't worry about {other}", "everything is fine, only {}", "{}, everything else is fine", "change one thing: {}"]
HELD_ALONE = ["{} and do not change {other}", "{}, {other} stays the same", "just {} and nothing more", "{} while keeping everything else"]
OTHERS = ["the sky", "the ground", "the background", "anything else", "the rest", "the picture"]
JOINED = ["{} and {}", "{} and {}", "{} and then {}", "{}, then {}", "{}. then {}", "first {}, then {}", "{} and also {}", "{} plus {}", "{}, {}", "{}, and {}", "{}. also {}",
          "{}; {}", "{} and after that {}", "first {} and then {}",
          "{}, after that {}", "{}. and {}", "{}. then also {}", "{} but also {}", "{} and at the same time {}", "{} then {}", "please {} and please {}",
          "{}. finally {}", "{}, and please {}", "both {} and {}", "{} and finally {}", "not only {} but also {}", "one: {}. two: {}", "1. {} 2. {}", "1) {} 2) {}",
          "{} and, when that is done, {}", "{}. when done, {}", "{} / {}", "{} + {}", "{} & {}", "{}, and also {}", "{} along with that {}", "{} - {}", "{}! and {}",
          "{} and please also {}", "{}. second, {}", "{} & then {}", "{}, also {}", "{} and {} too", "after you {}, {}"]
HELD_JOINED = ["{} as well as {}", "{}, and next {}", "start with this: {}. next, {}", "{}. after this {}", "{} while you also {}"]

# behind these the verb is a gerund: "how about painting the car red"
GERUND = more("gerund")
ASKED, AROUND, ALONE, JOINED = (lists + more(name) for lists, name in ((ASKED, "asked"), (AROUND, "around"), (ALONE, "alone"), (JOINED, "joined")))
_ = [held_apart(*lists) for lists in ((ASKED, HELD_ASKED), (AROUND, HELD_AROUND), (ALONE, HELD_ALONE), (JOINED, HELD_JOINED))]
