//! Function words by language: articles, pronouns, prepositions, conjunctions, auxiliaries and the commonest adverbs.

/// Returns the function words of a language by its ISO 639-3 code, set apart by spaces, in lower case.
pub(super) fn list(code: &str) -> Option<&'static str> {
    Some(match code {
        "eng" => ENGLISH,
        "deu" => GERMAN,
        "fra" => FRENCH,
        "spa" => SPANISH,
        "ita" => ITALIAN,
        "por" => PORTUGUESE,
        "nld" => DUTCH,
        "swe" => SWEDISH,
        "dan" | "nob" => DANISH_AND_NORWEGIAN,
        "pol" => POLISH,
        "rus" => RUSSIAN,
        _ => return None,
    })
}

const ENGLISH: &str = "\
a about above after again against all almost along already also although always am among an and another any anyone \
anything are around as at away back be became because become been before being below between both but by came can cannot \
could did do does doing done down during each either else enough even ever every few first for from further get gets \
give given go goes going gone got had has have having he her here hers herself him himself his how however i if in \
instead into is it its itself just keep kept last least less let like made make makes many may me might more most much \
must my myself near neither never no nobody none nor not nothing now of off often on once one only onto or other others \
our ours ourselves out over own per perhaps put rather said same say says see seen shall she should since so some \
someone something soon still such take taken than that the their theirs them themselves then there therefore these they \
thing things this those though through thus to together too toward towards two under until up upon us use used uses \
using very via was way we well went were what whatever when where whether which while who whole whom whose why will with \
within without would yet you your yours yourself don't doesn't didn't isn't aren't wasn't weren't can't couldn't won't \
wouldn't shouldn't haven't hasn't hadn't i'm you're we're they're it's that's there's let's";

const GERMAN: &str = "\
ab aber alle allem allen aller alles als also am an andere anderen anderer anderes ans auch auf aus bei beim bereits bin \
bis bist da dabei dadurch dafür dagegen daher damit danach dann daran darauf daraus darin darüber darum das dass davon \
dazu dein deine deinem deinen deiner dem den denn der des deshalb dessen dich die dies diese diesem diesen dieser dieses \
dir doch dort du durch ein eine einem einen einer eines einige einigen er es etwa etwas euch euer eure für gegen gewesen \
hab habe haben hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im immer in indem ins ist \
ja jede jedem jeden jeder jedes jedoch jene jener jetzt kann kein keine keinem keinen keiner können könnte machen mal \
man manche mehr mein meine meinem meinen meiner mich mir mit muss müssen nach nachdem nein nicht nichts noch nun nur ob \
obwohl oder ohne schon sehr sei sein seine seinem seinen seiner seit sich sie sind so sogar solche solcher soll sollen \
sollte sondern sonst sowie über um und uns unser unsere unserem unter viel viele vielen vom von vor wann war waren warum \
was weder weil weiter welche welcher welches wenn wer werde werden wie wieder will wir wird wo wohl wollen worden wurde \
wurden würde während zu zum zur zwar zwischen";

const FRENCH: &str = "\
à afin ai ainsi alors après as au aucun aucune aussi autre autres aux avaient avais avait avant avec avoir beaucoup bien \
c ça car ce ceci cela celle celles celui cependant ces cet cette ceux chaque chez ci comme comment contre d dans de dehors \
déjà depuis des dès deux devant doit donc dont du elle elles en encore entre es est et étaient étais était été être eu \
eux fait faire fois font hors ici il ils j je jusqu jusque l la là laquelle le lequel les lesquelles lesquels leur leurs \
lors lorsque lui m ma mais malgré me même mêmes mes moi moins mon n ne ni nos notre nous on ont ou où par parce pas \
pendant peu peut peuvent plus plusieurs plutôt pour pourquoi puis puisque qu quand que quel quelle quelles quels qui quoi \
s sa sans se selon sera ses si sien soit son sont sous souvent suis sur t ta tandis tant te tel telle tellement tels tes \
toi ton toujours tous tout toute toutes très trop tu un une va vers voici voilà vos votre vous y";

const SPANISH: &str = "\
a al algo algunas algunos ante antes aquel aquella aquellos así aún aunque bajo bien cada casi como con contra cual cuales \
cuando cuanto de debe dejar del desde después donde dos durante e el él ella ellas ellos en entonces entre era eran eres \
es esa esas ese eso esos está estaba estado están estar este esta estas esto estos ex fue fueron ha había han has hasta \
hay hacer hace he la las le les lo los luego más me menos mi mientras mis misma mismo mucha muchas mucho muchos muy nada \
ni no nos nosotros nuestra nuestro nunca o os otra otras otro otros para pero poco por porque pues puede pueden que qué \
quien quienes se sea según ser si sí sido siempre sin sino sobre solo son su sus tal también tampoco tan tanto te tenía \
tener tiene tienen toda todas todo todos tras tu tus un una unas uno unos usted ustedes va vez y ya yo";

const ITALIAN: &str = "\
a abbiamo ad agli ai al alcuni alla alle allo allora altra altre altri altro anche ancora appena avere aveva avevano avuto \
ben che chi ci cioè come con contro cosa cosí così cui da dagli dai dal dalla dalle dallo degli dei del dell della delle \
dello dentro di dopo dove due durante e è ed era erano essere fa fare fino fra fu già gli ha hai hanno ho i il in infatti \
invece io l la le lei li lo loro lui ma me meno mentre mi mia mie miei mio molta molte molti molto ne negli nei nel nell \
nella nelle nello nessuno niente no noi non nostra nostri nostro nulla o ogni oltre oppure ora per perché però più poco \
poi può qual quale quali quando quanto quasi quella quelle quelli quello questa queste questi questo qui se sei sempre \
senza si sia siamo siano solo sono sopra sotto sta stata state stati stato su sua sue sugli sui sul sulla sulle suo suoi \
tale tanto te ti tra tre tu tua tutta tutte tutti tutto un una uno vi voi vostro";

const PORTUGUESE: &str = "\
a à ainda algo algumas alguns além ante antes ao aos apenas apesar após aquela aquelas aquele aqueles aqui as às assim até \
bem cada com como contra da das de dela delas dele deles depois desde dessa desse desta deste do dois dos durante e é ela \
elas ele eles em embora enquanto entre era eram essa essas esse esses esta está estão estar estas estava este estes eu foi \
for foram há isso isto já la lhe lhes lo logo mais mas me mesma mesmo meu meus minha muita muitas muito muitos na não nas \
nem nenhum nessa nesse nesta neste no nos nós nossa nosso num numa nunca o onde os ou outra outras outro outros para pela \
pelas pelo pelos pode podem pois por porque pouco qual quais quando quanto quase que quem são se seja sem sempre ser será \
seu seus sido só sobre sua suas também tal tanto te tem têm tendo ter teve tinha toda todas todo todos tu tudo um uma umas \
uns você vocês";

const DUTCH: &str = "\
aan al alle alleen als altijd ander andere anders bij bijna dan dat de deze die dit doch doen door dus een eens en er erg \
even geen had hadden heb hebben heeft hem het hier hij hoe hun ik in is ja je jij jou jouw kan kon kunnen maar me meer men \
met mij mijn moest moet moeten na naar niet niets nog nu of om omdat onder ons onze ook op over reeds steeds te tegen toch \
toen tot tussen u uit uw van veel voor waar waren was wat we weer wel werd werden wie wij wil worden wordt zal ze zei zelf \
zich zij zijn zo zoals zonder zou zouden";

const SWEDISH: &str = "\
alla allt att av bara bland blev bli blir blivit både de dem den denna deras dess dessa det detta dig din dina ditt du där \
då efter eller en er ett från för genom ha hade han hans har henne hennes hon honom hur här i icke igen in ingen inom inte \
innan inga ja jag kan kunde man med mellan men mer mig min mina mitt mot mycket ni nu någon något några när och också om \
oss på samma sedan sig sin sina sitt själv ska skulle som så sådan till under upp ut utan var vara varje varit vad vem vi \
vid vilka vilken vilket vår våra vårt än är över";

const DANISH_AND_NORWEGIAN: &str = "\
ad af alle alt anden andre at av bare begge ble blev blir blive bliver både da de dem den denne der deres det dette dig din \
dine disse dog du efter eller en end enda er et etter for fordi fra før ha hadde ham han hans har havde have hende hendes \
her hos hun hvad hva hvem hver hvilken hvis hvor hvordan i ikke ikkje ind inden ingen inn jeg jo kan kom kun kunne man mange \
med meg meget mellem mellom men mens mer mere mig min mine mitt mod mot må måtte ned noe noen nogen noget nogle nu nå når og \
også om op opp os oss over på sammen seg selv selvom sig sin sine sit sitt skal skulle som så sådan til uden under uten var \
ved vi vil ville vår vært være været";

const POLISH: &str = "\
a aby ale ależ ani aż bardzo bez bo by był była było były być bowiem choć co czy czyli dla dlaczego dlatego do gdy gdyż \
gdzie go i ich ile im inne inny iż ja jak jako je jego jej jednak jednym jest jestem jeszcze jeśli jeżeli już każdy kiedy \
kilka kto która które którego której który których którym którzy lecz lub ma mają mam mi mimo między mnie moje może można mu \
my na nad nam nami nas nasz nawet nich nic nie nich niej niego nim niż no o obok od około on ona one oni ono oraz po pod \
ponieważ poza przed przede przez przy się są skąd sobie swoje ta tak także tam te tego tej ten też to tobie tu tutaj tych \
tylko tym u w we według wiele więc więcej wszystko wszystkich właśnie z za zaś ze że żeby";

const RUSSIAN: &str = "\
а без более больше будет будто будут бы был была были было быть в вам вас ведь весь во вот все всего всегда всей всех всю вы \
где да даже для до другие другой его ее её если есть еще ещё же за здесь и из или им иногда их к как какая какой когда \
конечно кто куда ли лишь лучше между меня мне много может можно мой моя мы на над надо наконец нас не него нее ней нельзя \
нет ни нибудь никогда ним них ничего но ну о об один он она они оно опять от перед по под после потом потому почти при про \
раз разве с сам свою своей своих себе себя сегодня сейчас со совсем так также такие такой там тебя тем теперь то тогда того \
тоже только том тот три тут ты у уж уже хоть чего чей чем через что чтобы чуть эта эти этих это этого этой этом этот эту я";
